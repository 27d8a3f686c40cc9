//! The script on a real Redis against the same arithmetic in Rust: same trace, same answers.

use std::path::PathBuf;
use std::sync::OnceLock;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::config::{Config, Secret};
use crate::domain::outcome::Policy;
use crate::domain::ring::{Dated, Hold, Rule, Span, State, Told, Unit};

const DEADLINE: Duration = Duration::from_secs(5);

fn redis() -> &'static weir_local::Redis {
    static REDIS: OnceLock<weir_local::Redis> = OnceLock::new();
    REDIS.get_or_init(|| {
        let dir: PathBuf = std::env::temp_dir().join(format!("weir-limiter-{}", std::process::id()));
        weir_local::Redis::start_in(&dir, None, weir_local::Lifetime::WithParent).expect("redis starts")
    })
}

fn windows(prefix: &str) -> Windows {
    let config = RedisConfig {
        redis_url: Some(Secret::new(redis().url())),
        redis_prefix: prefix.into(),
        redis_timeout_ms: 1_000,
        ..Config::from_env().expect("defaults").redis
    };
    Windows::open(&config).expect("client")
}

/// Buckets of a few milliseconds, so that windows pass within the test; Redis' own time, as always.
fn rules(random: &mut StdRng) -> Arc<[Rule]> {
    let sliding = |policy, buckets, width, limit, bank, enforced, offset| {
        let unit = Unit::of(policy).expect("a window");
        Rule { policy, unit, span: Span::Sliding { buckets, width, offset }, limit, bank, enforced }
    };
    let month = Span::Calendar { index: 671, start: 0, end: 4_000_000_000_000_000, next_end: 4_000_000_100_000_000 };
    let monthly =
        Rule { policy: Policy::Monthly, unit: Unit::Events, span: month, limit: 4_000, bank: 0, enforced: true };
    let bank = if random.random_bool(0.5) { 300 } else { 0 };
    let shadow = random.random_bool(0.8);
    let all = vec![
        sliding(Policy::Sustained, 60, 3_000, 200, bank, true, random.random_range(0..3_000)),
        sliding(Policy::Burst, 10, 2_000, 60, 0, shadow, random.random_range(0..2_000)),
        sliding(Policy::Bytes, 60, 3_000, 50_000, 0, true, random.random_range(0..3_000)),
        monthly,
    ];
    let dropped = random.random_range(0..6);
    all.into_iter().enumerate().filter(|(index, _)| *index != dropped).map(|(_, rule)| rule).collect()
}

/// Number `step` (0: none), unless it comes late; some of what it tells was told before, and some answers were not heard.
fn question(random: &mut StdRng, rules: &Arc<[Rule]>, step: i64) -> Ask {
    let back = |random: &mut StdRng, most| (step - random.random_range(0..most)).max(0);
    let told = |random: &mut StdRng| {
        let entries = random.random_range(0..4);
        let dated =
            |random: &mut StdRng| Dated { age: random.random_range(0..250_000), amount: random.random_range(0..9) };
        (0..entries).map(|_| Told { dated: dated(random), first: back(random, 12) }).collect()
    };
    let hold = |random: &mut StdRng| Hold { keep: random.random_range(0..10), wish: random.random_range(0..30) };
    Ask {
        instance: format!("i{}", random.random_range(0..4)).into(),
        number: if random.random_bool(0.1) { back(random, 12) } else { step },
        unheard: if random.random_bool(0.2) { back(random, 8) } else { 0 },
        sharers: random.random_range(1..4),
        hold_ttl: 30_000,
        rules: Arc::clone(rules),
        holds: [hold(random), hold(random)],
        spent: [told(random), Vec::new()],
        refunds: told(random),
        need: [random.random_range(0..40), random.random_range(0..3_000)],
    }
}

#[tokio::test]
async fn the_script_answers_as_the_arithmetic_does() {
    let windows = windows("trace");
    let (mut granted, mut denied) = (0, 0);
    for seed in 0..8 {
        let mut random = StdRng::seed_from_u64(seed);
        let account = AccountId::new(&format!("50%'}}off:{{{seed}}}")).expect("id");
        let rules = rules(&mut random);
        let mut state = State::default();
        for step in 0..150 {
            if random.random_bool(0.15) {
                tokio::time::sleep(Duration::from_millis(random.random_range(1..60))).await;
            }
            let ask = question(&mut random, &rules, step);
            let answer = windows.ask(&account, &ask, DEADLINE).await.expect("redis answers");
            assert_eq!(answer, state.apply(&ask, answer.now), "seed {seed} step {step}: {ask:?}");
            granted += answer.granted[0];
            denied += i32::from(answer.denial.is_some());
        }
    }
    assert!(granted > 1_000 && denied > 100, "the traces go to both sides of the limits: {granted} {denied}");
}

#[tokio::test]
async fn many_questions_are_answered_in_order() {
    let windows = windows("order");
    let mut random = StdRng::seed_from_u64(1);
    let rules = rules(&mut random);
    let accounts: Vec<_> = (0..300).map(|index| AccountId::new(&format!("a{index}")).expect("id")).collect();
    let mut asks = Vec::new();
    for index in 0..300 {
        asks.push(Ask { need: [index % 7, 0], refunds: vec![], ..question(&mut random, &rules, 0) });
    }
    let questions: Vec<_> = accounts.iter().zip(&asks).collect();
    let mut granted = Vec::new();
    for questions in questions.chunks(PIPELINE) {
        let answers = windows.ask_all(questions, DEADLINE).await.expect("answers");
        granted.extend(answers.iter().map(|answer| answer.granted));
    }
    assert_eq!(granted, asks.iter().map(|ask| ask.need).collect::<Vec<_>>());
}

#[tokio::test]
async fn instances_are_counted_while_they_speak() {
    let windows = windows("alive");
    let (long, short) = (Duration::from_secs(5), Duration::from_millis(100));
    assert_eq!(windows.register("a", long, DEADLINE).await.expect("redis answers"), 1);
    assert_eq!(windows.register("b", long, DEADLINE).await.expect("redis answers"), 2);
    tokio::time::sleep(2 * short).await;
    assert_eq!(windows.register("b", short, DEADLINE).await.expect("redis answers"), 1);
}
