//! What the worker does when things fail, with doubles for the database and the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::decode::tests::{garbage, record};
use super::doubles::{Letters, ROOM, Store, impatient_writer, line, offsets_of, partition, writer};
use super::line::Line;
use super::write::{Batch, Verdict, Writer};
use crate::domain::time::Timestamp;
use crate::kafka::{Polled, Stored};

/// Works off everything that waits, as the worker's loop does; returns what was stored at the log.
async fn work_off(line: &mut Line, writer: &Writer) -> Vec<Stored> {
    let mut stored = Vec::new();
    let mut batches: Vec<Batch> = line.next_batch(Instant::now(), ROOM).into_iter().collect();
    while let Some(batch) = batches.pop() {
        match writer.write(batch, None, &CancellationToken::new()).await {
            Verdict::Done { parts, noted } => stored.extend(line.done(&parts, noted)),
            Verdict::Split(parts) => batches.extend(line.split(parts)),
            Verdict::BrokenOff(_) => panic!("nobody said stop"),
        }
        batches.extend(line.next_batch(Instant::now(), ROOM));
    }
    stored
}

fn records(count: i64) -> Vec<Polled> {
    (0..count).map(|offset| record("acme", 0, offset)).collect()
}

fn next_offsets(stored: &[Stored]) -> Vec<(i32, i64)> {
    stored.iter().map(|stored| (stored.partition.partition, stored.next_offset)).collect()
}

#[tokio::test]
async fn one_bad_record_of_a_thousand_is_set_aside_and_all_others_are_stored_in_order() {
    for bad in [0, 1, 499, 998, 999] {
        let (store, letters) = (Store::new(), Letters::new());
        store.refuse([format!("0-{bad}")]);
        let mut line = line([0]);
        line.take_in(records(1_000), Instant::now());
        let stored = work_off(&mut line, &writer(&store, &letters, 1)).await;
        assert_eq!(next_offsets(&stored), [(0, 1_000)]);
        let expected: Vec<String> = (0..1_000).filter(|at| *at != bad).map(|at| format!("acme/0-{at}")).collect();
        assert_eq!(*store.rows.lock(), expected);
        assert_eq!(letters.header("dead.offset"), [bad.to_string()]);
        assert_eq!(letters.header("dead.tries"), ["3"]);
        assert_eq!(letters.header("dead.reason"), ["unstorable"]);
        assert_eq!(letters.header("dead.account_id"), ["acme"]);
        let writes = store.writes.load(Ordering::SeqCst);
        assert!(writes <= 1 + 2 * 10 + 2, "{writes} writes");
    }
}

#[tokio::test]
async fn when_all_are_bad_each_is_set_aside_once() {
    let (store, letters) = (Store::new(), Letters::new());
    store.refuse((0..100).map(|at| format!("0-{at}")));
    let mut line = line([0]);
    line.take_in(records(100), Instant::now());
    let stored = work_off(&mut line, &writer(&store, &letters, 1)).await;
    assert_eq!(next_offsets(&stored), [(0, 100)]);
    assert!(store.rows.lock().is_empty());
    assert_eq!(letters.header("dead.offset"), (0..100).map(|at| at.to_string()).collect::<Vec<_>>());
    let alarm = String::from_utf8(crate::telemetry::metrics::render()).expect("text");
    assert!(alarm.contains("weir_worker_dead_letter_alarm 1"), "{alarm}");
}

#[tokio::test]
async fn trouble_that_passes_never_makes_a_dead_letter() {
    let (store, letters) = (Store::new(), Letters::new());
    store.storms.store(200, Ordering::SeqCst);
    store.schema_troubles.store(50, Ordering::SeqCst);
    let mut line = line([0]);
    line.take_in(records(10), Instant::now());
    let stored = work_off(&mut line, &writer(&store, &letters, 1)).await;
    assert_eq!(next_offsets(&stored), [(0, 10)]);
    assert_eq!(store.rows.lock().len(), 10);
    assert!(letters.records.lock().is_empty());
    assert_eq!(store.progress.lock()[&0], 10);
    assert!(line.owed().is_empty(), "the transaction held the progress");
}

#[tokio::test]
async fn a_batch_that_is_late_again_and_again_is_halved_until_it_fits() {
    let (store, letters) = (Store::new(), Letters::new());
    store.most.store(20, Ordering::SeqCst);
    let writer = impatient_writer(&store, &letters, 1, Duration::from_millis(5));
    let mut line = line([0, 1]);
    let all = (0..2).flat_map(|partition| (0..100).map(move |offset| record("acme", partition, offset)));
    line.take_in(all.collect(), Instant::now());
    let stored = work_off(&mut line, &writer).await;
    assert_eq!(stored.iter().map(|stored| stored.next_offset).collect::<Vec<_>>(), [100, 100]);
    let rows = store.rows.lock();
    let of = |partition: i32| rows.iter().filter(move |row| row.starts_with(&format!("acme/{partition}-"))).cloned();
    for partition in 0..2 {
        assert_eq!(
            of(partition).collect::<Vec<_>>(),
            (0..100).map(|at| format!("acme/{partition}-{at}")).collect::<Vec<_>>()
        );
    }
    assert!(letters.records.lock().is_empty(), "nothing is at fault");
    assert!((1..=50).contains(&writer.events()), "the next batch is smaller: {}", writer.events());
}

#[tokio::test]
async fn a_storm_while_bisecting_changes_nothing() {
    let (store, letters) = (Store::new(), Letters::new());
    store.refuse(["0-3".to_owned()]);
    let mut line = line([0]);
    line.take_in(records(8), Instant::now());
    let writer = writer(&store, &letters, 1);
    store.storms.store(1, Ordering::SeqCst);
    let batch = line.next_batch(Instant::now(), ROOM).expect("due");
    let verdict = writer.write(batch, None, &CancellationToken::new()).await;
    let Verdict::Done { parts, noted: false } = verdict else { panic!("{verdict:?}") };
    assert_eq!(next_offsets(&line.done(&parts, false)), [(0, 8)]);
    assert_eq!((store.rows.lock().len(), letters.header("dead.offset")), (7, vec!["3".to_owned()]));
    assert_eq!(line.owed()[0].next_offset, 8, "pieces carry no progress, so it is owed");
}

#[tokio::test]
async fn the_offset_waits_for_the_dead_letter_and_holds_nobody_else() {
    let (store, letters) = (Store::new(), Letters::new());
    let writer = writer(&store, &letters, 1);
    let mut line = line([0, 1]);
    line.take_in(vec![record("acme", 0, 0), garbage(0, 1), record("acme", 0, 2)], Instant::now());
    let closed = letters.gate.acquire_many(100).await.expect("open");
    let sick = line.next_batch(Instant::now(), ROOM).expect("due");
    assert_eq!(sick.progress[0].next_offset, 1, "the record that is not decodable closes the gap only with its letter");
    let stop = CancellationToken::new();
    let mut waiting = Box::pin(writer.write(sick, None, &stop));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(store.rows.lock().len(), 2, "neighbours are stored");
    assert!(writer.slot().is_some(), "a waiting dead letter holds no slot");

    line.take_in(vec![record("acme", 1, 0)], Instant::now());
    let healthy = line.next_batch(Instant::now(), ROOM).expect("due");
    let Verdict::Done { parts, noted: true } = writer.write(healthy, None, &stop).await else { panic!("done") };
    assert_eq!(next_offsets(&line.done(&parts, true)), [(1, 1)]);

    drop(closed);
    let Verdict::Done { parts, noted } = waiting.await else { panic!("done") };
    assert_eq!(next_offsets(&line.done(&parts, noted)), [(0, 3)]);
    assert_eq!(line.owed().iter().map(|owed| owed.next_offset).collect::<Vec<_>>(), [3]);
    assert_eq!(letters.header("dead.reason"), ["undecodable"]);
}

#[tokio::test]
async fn what_is_older_than_events_are_kept_is_set_aside() {
    let (store, letters) = (Store::new(), Letters::new());
    let mut line = line([0]);
    line.keep_from(Timestamp::now());
    line.take_in(vec![record("acme", 0, 0)], Instant::now());
    work_off(&mut line, &writer(&store, &letters, 1)).await;
    assert_eq!((store.rows.lock().len(), letters.header("dead.reason")), (0, vec!["expired".to_owned()]));
}

#[tokio::test]
async fn dead_letters_that_were_acknowledged_are_not_sent_again() {
    let (store, letters) = (Store::new(), Letters::new());
    letters.away.store(3, Ordering::SeqCst);
    let mut line = line([0]);
    line.take_in((0..6).map(|offset| garbage(0, offset)).collect(), Instant::now());
    work_off(&mut line, &writer(&store, &letters, 1)).await;
    assert_eq!(letters.header("dead.offset"), ["0", "1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn a_merged_batch_parts_when_one_partition_is_sick() {
    let (store, letters) = (Store::new(), Letters::new());
    store.refuse(["0-1".to_owned()]);
    let writer = writer(&store, &letters, 1);
    let mut line = line([0, 1, 2]);
    let all = (0..3).flat_map(|partition| (0..3).map(move |offset| record("acme", partition, offset)));
    line.take_in(all.collect(), Instant::now());
    let batch = line.next_batch(Instant::now(), ROOM).expect("due");
    assert_eq!(batch.parts.len(), 3);
    let verdict = writer.write(batch, None, &CancellationToken::new()).await;
    let Verdict::Split(parts) = verdict else { panic!("{verdict:?}") };
    for batch in line.split(parts) {
        let Verdict::Done { parts, noted } = writer.write(batch, None, &CancellationToken::new()).await else {
            panic!("done")
        };
        assert_eq!(noted, parts[0].partition.partition != 0);
        line.done(&parts, noted);
    }
    assert_eq!((store.rows.lock().len(), letters.header("dead.offset")), (8, vec!["1".to_owned()]));
}

#[tokio::test]
async fn a_write_broken_off_by_a_revocation_gives_back_what_is_still_ours() {
    let (store, letters) = (Store::new(), Letters::new());
    let writer = writer(&store, &letters, 1);
    let mut line = line([0, 1]);
    line.take_in(vec![record("acme", 0, 0), garbage(0, 1), record("acme", 0, 2)], Instant::now());
    line.take_in(vec![record("acme", 1, 5), record("acme", 1, 6)], Instant::now());
    let batch = line.next_batch(Instant::now(), ROOM).expect("due");
    let stop = CancellationToken::new();
    stop.cancel();
    let verdict = writer.write(batch, None, &stop).await;
    let Verdict::BrokenOff(parts) = verdict else { panic!("{verdict:?}") };
    line.revoking(&[partition(1)]);
    line.put_back(parts, Instant::now());
    line.revoked(&[partition(1)]);
    line.take_in(vec![record("acme", 0, 3), record("acme", 1, 7)], Instant::now());
    let again = line.next_batch(Instant::now(), ROOM).expect("due");
    assert_eq!(offsets_of(&again.parts), [(0, 0), (0, 1), (0, 2), (0, 3)]);
    assert!(again.parts[0].records[1].event.is_err(), "still known as undecodable");
}

#[tokio::test]
async fn a_write_that_hangs_is_broken_off_at_once() {
    let (store, letters) = (Store::new(), Letters::new());
    let writer = Arc::new(writer(&store, &letters, 1));
    let _closed = store.gate.acquire_many(100).await.expect("open");
    let mut line = line([0]);
    line.take_in(records(3), Instant::now());
    let batch = line.next_batch(Instant::now(), ROOM).expect("due");
    let stop = CancellationToken::new();
    let mut hanging = Box::pin(writer.write(batch, writer.slot(), &stop));
    assert!(hanging.as_mut().now_or_never().is_none());
    assert!(writer.slot().is_none());
    stop.cancel();
    assert!(matches!(hanging.await, Verdict::BrokenOff(parts) if parts[0].records.len() == 3));
    assert!(writer.slot().is_some());
}

#[tokio::test]
async fn what_a_lost_assignment_reports_late_is_not_heard() {
    let (store, letters) = (Store::new(), Letters::new());
    let writer = writer(&store, &letters, 1);
    let mut line = line([0]);
    line.take_in(records(3), Instant::now());
    let zombie = line.next_batch(Instant::now(), ROOM).expect("due");
    line.revoked(&[partition(0)]);
    line.assigned(vec![partition(0)]);
    line.take_in(records(2), Instant::now());
    let Verdict::Done { parts, noted } = writer.write(zombie, None, &CancellationToken::new()).await else {
        panic!("done")
    };
    assert!(line.done(&parts, noted).is_empty(), "a commit of the zombie moves no offset");
    assert_eq!(line.owed().iter().map(|owed| owed.next_offset).collect::<Vec<_>>(), [0]);
    assert_eq!(next_offsets(&work_off(&mut line, &writer).await), [(0, 2)]);
    assert_eq!(store.rows.lock().len(), 3, "and stores nothing twice");
}

#[tokio::test]
async fn a_crash_at_any_point_repeats_work_and_changes_nothing() {
    let (store, letters) = (Store::new(), Letters::new());
    store.refuse(["0-7".to_owned()]);
    let writer = writer(&store, &letters, 1);
    // The process dies after each number of settled records; the next one starts from what was committed.
    let mut committed = 0;
    for crash_after in [0, 3, 0, 5, 12, 20] {
        let mut line = line([0]);
        line.take_in((committed..20).map(|offset| record("acme", 0, offset)).collect(), Instant::now());
        let stored = work_off(&mut line, &writer).await;
        let reached = stored.last().map_or(committed, |stored| stored.next_offset);
        committed = reached.min(committed.max(crash_after));
    }
    assert_eq!(store.rows.lock().len(), 19);
    assert!(letters.header("dead.id").iter().all(|id| id == "t/0/7"), "letters of one record share a name");
    assert_eq!(store.progress.lock()[&0], 20);
}

#[tokio::test]
async fn writes_of_one_partition_may_end_in_any_order() {
    let (store, letters) = (Store::new(), Letters::new());
    let writer = writer(&store, &letters, 2);
    let mut line = line([0]);
    line.take_in((0..3).map(|offset| record("whale", 0, offset)).collect(), Instant::now());
    let first = line.next_batch(Instant::now(), ROOM).expect("due");
    line.take_in(vec![record("minnow", 0, 3)], Instant::now());
    let second = line.next_batch(Instant::now(), ROOM).expect("due");
    assert_eq!((first.progress[0].next_offset, second.progress.len()), (3, 0), "the second leaves a gap");
    let stop = CancellationToken::new();
    let Verdict::Done { parts, noted: true } = writer.write(second, None, &stop).await else { panic!("done") };
    assert!(line.done(&parts, true).is_empty(), "no offset passes the gap");
    assert_eq!(line.owed().iter().map(|owed| owed.next_offset).collect::<Vec<_>>(), [0], "known, nothing settled");
    let Verdict::Done { parts, noted: true } = writer.write(first, None, &stop).await else { panic!("done") };
    assert_eq!(next_offsets(&line.done(&parts, true)), [(0, 4)]);
    assert_eq!(line.owed().iter().map(|owed| owed.next_offset).collect::<Vec<_>>(), [4], "its promise was 3");
}

#[tokio::test]
async fn a_partition_is_known_by_its_first_record_before_anything_is_stored() {
    let mut line = line([0, 1]);
    line.take_in(vec![record("acme", 0, 41), record("acme", 0, 42)], Instant::now());
    let owed = line.owed();
    assert_eq!(owed.iter().map(|owed| (owed.partition, owed.next_offset)).collect::<Vec<_>>(), [(0, 41)]);
    assert_eq!(owed[0].record_time.micros(), (1_700_000_000_000 + 41) * 1_000);
    line.noted(&owed);
    assert!(line.owed().is_empty());
}
