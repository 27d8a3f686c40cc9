//! What reads cost on a large table: one partition each, by its index, whatever the account.

use serde_json::Value;
use weir::store::statements;

use crate::stores::Stores;

/// Rows of the account that is asked about, among as many of others.
const ROWS: usize = 60_000;

async fn plan(stores: &Stores, statement: &str, arguments: &str) -> Value {
    // Of a table of a few pages Postgres would rather read all: what it could do on a large one is asked here.
    let sql = format!(
        "SET enable_seqscan = off; SET plan_cache_mode = force_custom_plan; PREPARE asked AS {statement};
         EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked({arguments})"
    );
    serde_json::from_str(&stores.psql(sql).await).expect("a plan")
}

/// Every scan below a node: its kind, its table and the rows it read.
fn scans(node: &Value, found: &mut Vec<(String, String, u64)>) {
    if let Some(relation) = node["Relation Name"].as_str() {
        let kind = node["Node Type"].as_str().unwrap_or_default();
        let rows = node["Actual Rows"].as_f64().unwrap_or(0.0) + node["Rows Removed by Filter"].as_f64().unwrap_or(0.0);
        found.push((kind.to_owned(), relation.to_owned(), rows as u64));
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        scans(child, found);
    }
}

#[tokio::test]
async fn every_question_reads_one_partition_by_its_index() {
    let stores = Stores::new().await;
    let fill = format!(
        "INSERT INTO events (occurred_at, received_at, schema_version, account_id, event_id, event_name, user_id, channel)
         SELECT to_timestamp(1700000000 + i % 86400), now(), 1, CASE i % 2 WHEN 0 THEN 'whale' ELSE 'a' || i % 50 END,
                'e' || i, 'n' || i % 5, 'u' || i % 1000, 'web' FROM generate_series(1, {}) AS i;
         INSERT INTO event_counts (account_id, bucket, event_name, channel, events, value_count, value_sum)
         SELECT account_id, date_bin('15 minutes', occurred_at, 'epoch'), event_name, channel, count(*), 0, 0
           FROM events GROUP BY 1, 2, 3, 4;
         ANALYZE events; ANALYZE event_counts",
        2 * ROWS
    );
    stores.execute(&fill).await;
    let day = "to_timestamp(1700000000), to_timestamp(1700000100), to_timestamp(1700086300), to_timestamp(1700086400)";
    let page = "'whale', 'epoch', to_timestamp(1700050000), '', NULL, NULL, NULL, NULL, 51";
    let cases = [
        ("page", page.to_owned(), 200),
        ("latest", "'whale', '{n1}', '{f}', '{x,n}', '{f,t}', false, 50".to_owned(), 200),
        ("event", "'whale', 'e2'".to_owned(), 1),
        ("few", "'whale', to_timestamp(1700000000), to_timestamp(1700086400), 2001".to_owned(), 2_001),
        ("buckets", "'whale', to_timestamp(1699999200), to_timestamp(1700087400), 1000".to_owned(), 3_000),
        ("edges", format!("'whale', {day}, 1000"), 3_000),
        ("active", "'whale', to_timestamp(1700050000), to_timestamp(1700053600), 10".to_owned(), 3_000),
        ("measure", format!("'whale', 'n0', {day}, 'UTC', NULL, 51"), 3_000),
        ("trace", "'whale', 'e2', 'weir.events', 1, 1, 20".to_owned(), 20),
    ];
    for (name, arguments, most) in cases {
        let statement = statements().into_iter().find(|(other, _)| *other == name).expect(name).1;
        let plan = plan(&stores, statement, &arguments).await;
        let mut found = Vec::new();
        scans(&plan[0]["Plan"], &mut found);
        let read: u64 = found.iter().map(|(_, _, rows)| rows).sum();
        assert!(read <= most, "{name} read {read} rows: {plan:#}");
        for table in ["events_", "event_counts_"] {
            let mut partitions: Vec<_> =
                found.iter().map(|scan| &scan.1).filter(|own| own.starts_with(table)).collect();
            partitions.dedup();
            assert!(partitions.len() <= 1, "{name} is not pruned: {partitions:?}");
        }
        assert!(found.iter().all(|(kind, ..)| kind.contains("Index") || kind.contains("Bitmap")), "{plan:#}");
    }
    stores.finish().await;
}
