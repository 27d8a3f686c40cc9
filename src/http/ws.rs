//! Live streams over WebSocket. Invariant: the frames of `/v1/stream`, one a message; whatever the client says but "close" is read
//! and forgotten, up to a bound.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use poem::http::header;
use poem::web::websocket::{CloseCode, Message, WebSocket, WebSocketStream};
use poem::{Endpoint, FromRequest, IntoResponse, Request, Response};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::live::StreamCaller;
use super::problem::{Code, Problem};
use crate::stream::{Session, StreamFilter};

/// How long a client may take to accept one frame.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest message of a client.
const MAX_MESSAGE: usize = 4_096;

/// Most messages of a client; it has nothing to say.
const MAX_MESSAGES: u32 = 1_000;

/// `GET /v1/ws`; not in the document, which has no word for WebSocket.
pub(super) fn endpoint() -> impl Endpoint<Output = Response> {
    poem::endpoint::make(|request| async move { Ok::<_, poem::Error>(open(request).await?) })
}

async fn open(request: Request) -> Result<Response, Problem> {
    let caller = StreamCaller::enter(&request).await?;
    let socket = WebSocket::from_request_without_body(&request)
        .await
        .map_err(|_| Problem::new(Code::InvalidRequest, "this path takes a WebSocket handshake only"))?;
    let parameters: Vec<(String, String)> = request.params().unwrap_or_default();
    let parameter = |name: &str| {
        let found = parameters.iter().find(|(other, value)| other == name && !value.is_empty());
        found.map(|(_, value)| value.clone())
    };
    let filter =
        StreamFilter { topic: parameter("topic"), event_name: parameter("event_name"), user_id: parameter("user_id") };
    let shown = request.headers().get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let session = caller.open(filter, shown.or_else(|| parameter("after"))).await?;
    let limits = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let mut response = socket.config(limits).on_upgrade(move |socket| serve(socket, session)).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    Ok(response)
}

async fn serve(mut socket: WebSocketStream, mut session: Session) {
    let mut heard = 0;
    loop {
        tokio::select! {
            frame = session.next() => {
                let Some(frame) = frame else { break };
                if !matches!(timeout(PATIENCE, socket.send(Message::Text(frame.text))).await, Ok(Ok(()))) {
                    return;
                }
            }
            said = socket.next() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    heard += 1;
                    if heard > MAX_MESSAGES {
                        break;
                    }
                }
            },
        }
    }
    let close = Message::Close(Some((CloseCode::Normal, String::new())));
    if !matches!(timeout(PATIENCE, socket.send(close)).await, Ok(Ok(()))) {
        tracing::debug!("a client was gone before its stream was closed");
    }
}
