//! The two ways into the table, COPY and INSERT, on a real Postgres: the same rows, the same counts, whatever they meet.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use weir::domain::event::{Channel, Event};
use weir::domain::time::Timestamp;
use weir::store::{EventSink, WorkerStore, WriteError};

use crate::stores::{DISAGREEMENTS, Stores, account, event};

/// Rows of a batch: more than are ever left to INSERT for being few.
const ROWS: usize = 40;

/// Notes for every statement that put rows into the table, and was committed, which it was.
const NOTE_WAYS: &str = "
    CREATE TABLE ways (at bigint GENERATED ALWAYS AS IDENTITY, way text);
    CREATE FUNCTION note_way() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN INSERT INTO ways (way) VALUES (split_part(trim(current_query(), E' \\n'), ' ', 1)); RETURN NULL; END $$;
    CREATE TRIGGER note_way AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION note_way()";

async fn stores_that_note_ways() -> Stores {
    let stores = Stores::new().await;
    stores.execute(NOTE_WAYS).await;
    stores
}

async fn ways(stores: &Stores) -> Vec<String> {
    let query = sqlx::query_scalar("SELECT way FROM ways ORDER BY at");
    query.fetch_all(&mut stores.superuser().await).await.expect("ways")
}

fn batch(account: &str, ids: std::ops::Range<usize>) -> Vec<Event<'static>> {
    ids.map(|id| Event { value: Some("0.5".into()), ..event(account, &id.to_string()) }).collect()
}

/// Texts that are awkward in some form on the way.
fn text(random: &mut StdRng) -> String {
    const PIECES: [&str; 14] =
        ["a", "Ω", "日本", "🦀", "\"", "\\", "'", ",", "{", "}", "NULL", "\n\t\r", "\u{1}\u{7f}", "\\N"];
    (0..random.random_range(1..12)).map(|_| PIECES[random.random_range(0..PIECES.len())]).collect()
}

fn digits(random: &mut StdRng, most: usize) -> String {
    let count = random.random_range(1..=most);
    (0..count).map(|_| char::from(b'0' + random.random_range(0..10))).collect()
}

fn literal(random: &mut StdRng) -> String {
    const EDGES: [&str; 11] = [
        "0",
        "-0",
        "0.000",
        "-0.0e7",
        "1e1000",
        "1E-1000",
        "9999",
        "10000",
        "0.0001",
        "123456789012345678",
        "-99999.99990",
    ];
    let most = [4, 20, 500][random.random_range(0..3)];
    match random.random_range(0..4) {
        0 => EDGES[random.random_range(0..EDGES.len())].to_owned(),
        1 => format!("-{}", digits(random, most)),
        2 => format!("{}.{}", digits(random, most), digits(random, most)),
        _ => format!("{}.{}e{}", digits(random, 3), digits(random, 30), random.random_range(-300..300)),
    }
}

fn metadata(random: &mut StdRng) -> String {
    const OBJECTS: [&str; 5] = [
        "{}",
        "{\"b\": 1,  \"a\":[1.0, 1e3],\"b\":2}",
        "{\"text\":\"\\u00e9 é 🦀 \\\\ \\\"\"}",
        "{\"deep\":[[[[{\"n\":-0.0}]]]]}",
        "{\"zero\":\"\\u0000\"}",
    ];
    OBJECTS[random.random_range(0..OBJECTS.len())].to_owned()
}

fn any_event(random: &mut StdRng, id: usize) -> Event<'static> {
    const TIMES: [i64; 4] = [0, 1, 946_684_800_000_000, 1_700_000_000_123_456];
    let time = |random: &mut StdRng| match random.random_range(0..3) {
        0 => Timestamp::from_micros(TIMES[random.random_range(0..TIMES.len())]).expect("time"),
        1 => Timestamp::MAX,
        _ => Timestamp::from_micros(random.random_range(0..4_000_000_000_000_000)).expect("time"),
    };
    Event {
        event_name: text(random).into(),
        user_id: text(random).into(),
        channel: Channel::ALL[random.random_range(0..5)],
        source: random.random_bool(0.5).then(|| text(random).into()),
        campaign_id: random.random_bool(0.5).then(|| text(random).into()),
        timestamp: time(random),
        tags: (0..random.random_range(0..33)).map(|_| text(random).into()).collect(),
        value: random.random_bool(0.7).then(|| literal(random).into()),
        schema_version: random.random(),
        metadata: random.random_bool(0.5).then(|| metadata(random).into()),
        received_at: time(random),
        ..event("copied", &format!("{id}~!\"'\\"))
    }
}

#[tokio::test]
async fn both_ways_make_the_same_rows_of_every_shape() {
    let stores = stores_that_note_ways().await;
    let mut random = StdRng::seed_from_u64(8);
    for round in 0..20 {
        let copied: Vec<Event> = (0..ROWS).map(|id| any_event(&mut random, round * ROWS + id)).collect();
        let inserted: Vec<Event> =
            copied.iter().cloned().map(|event| Event { account_id: account("inserted"), ..event }).collect();
        let first = stores.write(&copied).await;
        stores.worker.expect_repeats();
        let second = stores.write(&inserted).await;
        assert_eq!(first, second, "round {round}");
        // Away with the doubt.
        for more in 0..4 {
            stores.write(&batch(&format!("more-{round}-{more}"), 0..ROWS)).await;
        }
    }
    let ways = ways(&stores).await;
    for round in ways.chunks(6) {
        assert_eq!(round, ["COPY", "INSERT", "INSERT", "INSERT", "INSERT", "COPY"]);
    }
    const DIFFERENT: &str = "
        WITH shown AS (
            SELECT account_id, event_id,
                   concat_ws('|', occurred_at, received_at, schema_version, to_json(event_name), to_json(user_id), channel,
                             to_json(source), to_json(campaign_id), value::text, scale(value), to_json(tags), array_dims(tags),
                             metadata::text, num_nulls(source, campaign_id, value, tags, metadata)) AS row
              FROM events)
        SELECT count(*)
          FROM (SELECT * FROM shown WHERE account_id = 'copied') AS copied
          FULL JOIN (SELECT * FROM shown WHERE account_id = 'inserted') AS inserted USING (event_id)
         WHERE copied.row IS DISTINCT FROM inserted.row";
    assert_eq!(stores.number(DIFFERENT).await, 0);
    assert_eq!(stores.number("SELECT count(*) FROM events WHERE account_id = 'copied'").await, 20 * ROWS as i64);
    assert_eq!(stores.number(DISAGREEMENTS).await, 0);
    stores.finish().await;
}

#[tokio::test]
async fn a_number_that_only_postgres_can_judge_goes_the_safe_way() {
    let stores = stores_that_note_ways().await;
    let mut all = batch("acme", 0..ROWS);
    all[7].value = Some("2e1200".into());
    assert_eq!(stores.write(&all).await.inserted, ROWS);
    assert_eq!(ways(&stores).await, ["INSERT"]);
    let large = stores.number("SELECT count(*) FROM events WHERE value = '2e1200'::numeric").await;
    assert_eq!((large, stores.number(DISAGREEMENTS).await), (1, 0));
    stores.finish().await;
}

#[tokio::test]
async fn a_stored_event_sends_the_batch_the_safe_way_and_the_first_one_stays() {
    let stores = stores_that_note_ways().await;
    stores.write(&batch("acme", 0..ROWS)).await;
    let mut next = batch("acme", ROWS - 1..2 * ROWS);
    next[0].user_id = "another".into();
    let written = stores.write(&next).await;
    assert_eq!((written.inserted, written.duplicates), (ROWS, 1));
    assert!(!written.new[0] && written.new[1..].iter().all(|new| *new));
    let kept = "SELECT count(*) FROM events WHERE user_id = 'another'";
    assert_eq!((stores.number(kept).await, stores.number(DISAGREEMENTS).await), (0, 0));

    // Once a batch was all new the doubt is over; the next doubt lasts longer.
    stores.write(&batch("acme", 100..100 + ROWS)).await;
    stores.write(&batch("acme", 200..200 + ROWS)).await;
    assert_eq!(ways(&stores).await, ["COPY", "INSERT", "INSERT", "COPY"]);

    // The same batch again, as after a commit whose answer was lost.
    let again = stores.write(&batch("acme", 200..200 + ROWS)).await;
    assert_eq!((again.inserted, again.duplicates), (0, ROWS));
    assert_eq!(stores.number("SELECT count(*) FROM events").await, 4 * ROWS as i64);
    assert_eq!(stores.number(DISAGREEMENTS).await, 0);
    stores.finish().await;
}

#[tokio::test]
async fn an_event_twice_in_a_batch_is_no_reason_for_the_safe_way() {
    let stores = stores_that_note_ways().await;
    let mut all = batch("acme", 0..ROWS);
    all.push(Event { user_id: "another".into(), ..all[3].clone() });
    let written = stores.write(&all).await;
    assert_eq!((written.inserted, written.duplicates), (ROWS, 1));
    assert!(!written.new[ROWS]);
    assert_eq!(ways(&stores).await, ["COPY"]);
    let kept = "SELECT count(*) FROM events WHERE user_id = 'another'";
    assert_eq!((stores.number(kept).await, stores.number(DISAGREEMENTS).await), (0, 0));
    stores.finish().await;
}

#[tokio::test]
async fn what_postgres_refuses_is_the_datas_fault_either_way_and_costs_no_connection() {
    let stores = stores_that_note_ways().await;
    let (good, mut nul, mut not_json) = (batch("acme", 0..ROWS), batch("acme", 0..ROWS), batch("acme", 0..ROWS));
    nul[ROWS / 2].user_id = "a\0b".into();
    not_json[ROWS - 1].metadata = Some("{".into());
    for poison in [&nul, &not_json] {
        for safe in [false, true] {
            if safe {
                stores.worker.expect_repeats();
            }
            let refused = stores.worker.write(poison, &[]).await;
            assert!(matches!(&refused, Err(WriteError::Data(_))), "{refused:?}");
            let state = refused.expect_err("refused").sqlstate();
            assert!(state.as_deref().is_some_and(|state| state.starts_with("22")), "{state:?}");
        }
        assert_eq!(stores.number("SELECT count(*) FROM events").await, 0, "all or nothing");
        for clean in 0..4 {
            stores.write(&batch(&format!("clean-{clean}"), 0..ROWS)).await;
        }
        stores.execute("DELETE FROM events; DELETE FROM event_counts").await;
    }
    assert_eq!(stores.write(&good).await.inserted, ROWS);
    assert_eq!(ways(&stores).await.last().map(String::as_str), Some("COPY"));
    stores.finish().await;
}

#[tokio::test]
async fn rows_that_a_trigger_keeps_out_are_not_counted() {
    let stores = stores_that_note_ways().await;
    stores
        .execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN IF NEW.event_id = '5' THEN RETURN NULL; END IF; RETURN NEW; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    let written = stores.write(&batch("acme", 0..ROWS)).await;
    assert_eq!((written.inserted, written.new[5]), (ROWS - 1, false));
    assert_eq!(ways(&stores).await, ["INSERT"]);
    assert_eq!(stores.number(DISAGREEMENTS).await, 0);
    stores.finish().await;
}

/// As a worker does: again, while it is only the moment that is bad; how many rows were new.
async fn until_written(worker: &WorkerStore, batch: &[Event<'static>]) -> usize {
    for _ in 0..20 {
        match worker.write(batch, &[]).await {
            Ok(written) => return written.inserted,
            Err(WriteError::Transient(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("twenty bad moments in a row")
}

#[tokio::test]
async fn writers_that_share_keys_end_with_each_event_once() {
    let stores = Stores::new().await;
    for round in 0..12 {
        // Accounts over all partitions, each writer with some of its own among those that both have.
        let ids = |writer: usize| -> Vec<Event<'static>> {
            let shared = (0..300).map(|id| event(&format!("s{}", id % 40), &format!("{round}-{id}")));
            let own = (0..300).map(|id| event(&format!("w{writer}-{}", id % 40), &format!("{round}-{id}")));
            shared.chain(own).collect()
        };
        // Two workers that trust, as around a rebalance that one of them has not heard of.
        let open = || WorkerStore::open(&stores.config.database, &stores.config.worker).expect("worker");
        let (mine, yours, left, right) = (open(), open(), ids(0), ids(1));
        let (left, right) = tokio::join!(until_written(&mine, &left), until_written(&yours, &right));
        assert_eq!(left + right, 900, "round {round}");
        mine.close().await;
        yours.close().await;
    }
    assert_eq!(stores.number(DISAGREEMENTS).await, 0);
    stores.finish().await;
}
