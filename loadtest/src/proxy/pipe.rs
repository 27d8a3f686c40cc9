//! One direction of one connection. Invariant: at most [`UNDER_WAY`] pieces are held, so a slow network slows its sender down
//! as a full window would.

use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Network, State};

/// Pieces on the way in one direction.
const UNDER_WAY: usize = 256;
/// Most bytes of a piece.
const PIECE: usize = 64 << 10;

/// Bytes, and when they may arrive.
type Piece = (Instant, Vec<u8>);

/// Client to server.
pub(super) async fn requests(from: OwnedReadHalf, to: OwnedWriteHalf, state: watch::Receiver<State>) {
    pipe(from, to, state, false).await;
}

/// Server to client.
pub(super) async fn answers(from: OwnedReadHalf, to: OwnedWriteHalf, state: watch::Receiver<State>) {
    pipe(from, to, state, true).await;
}

/// Ends when either side or the network does.
async fn pipe(from: OwnedReadHalf, to: OwnedWriteHalf, state: watch::Receiver<State>, droppable: bool) {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    let mut giving = pin!(give(to, receiver, state.clone()));
    tokio::select! {
        end = take(from, sender, state, droppable) => match end {
            // What is still on its way arrives before the end does.
            End::Closed => giving.await,
            End::Broken => {}
        },
        () = &mut giving => {}
    }
}

/// How the reading side ended.
enum End {
    Closed,
    Broken,
}

/// Reads, and decides about each piece by the network it meets.
async fn take(
    mut from: OwnedReadHalf,
    sender: mpsc::Sender<Piece>,
    mut state: watch::Receiver<State>,
    droppable: bool,
) -> End {
    let mut buffer = vec![0; PIECE];
    let mut dropped = false;
    loop {
        let network = state.borrow_and_update().network;
        if network == Network::Cut || (dropped && network != Network::NoAnswers) {
            return End::Broken;
        }
        let read = tokio::select! {
            changed = state.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return End::Broken,
            },
            read = from.read(&mut buffer), if network != Network::BlackHole => read,
        };
        let Ok(length @ 1..) = read else { return End::Closed };
        if droppable && network == Network::NoAnswers {
            dropped = true;
            continue;
        }
        let delay = if let Network::Slow(delay) = network { delay } else { Duration::ZERO };
        if sender.send((Instant::now() + delay, buffer[..length].to_vec())).await.is_err() {
            return End::Broken;
        }
    }
}

/// Writes each piece at its time; in a black hole, once that is over.
async fn give(mut to: OwnedWriteHalf, mut receiver: mpsc::Receiver<Piece>, mut state: watch::Receiver<State>) {
    while let Some((at, bytes)) = receiver.recv().await {
        tokio::time::sleep_until(at).await;
        if state.wait_for(|state| state.network != Network::BlackHole).await.is_err() {
            return;
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
