//! The limiter on a real Redis: several instances, and Redis hurt. Invariant of the scenes: each has a Redis of its own.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::*;
use crate::config::{Config, RedisConfig, Secret};
use crate::domain::outcome::Policy;
use crate::domain::quota::{Limit, Mode as QuotaMode, QuotaPatch, StoredQuota};

struct Scene {
    redis: weir_local::Redis,
    dir: PathBuf,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    quotas: Arc<Quotas>,
    config: LimitConfig,
    redis_timeout_ms: u64,
}

impl Scene {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("weir-limit-{name}-{}", std::process::id()));
        let redis = weir_local::Redis::start_in(&dir, None, weir_local::Lifetime::WithParent).expect("redis starts");
        let mut config = Config::from_env().expect("defaults").limit;
        // Only the scenes that hurt Redis may decide without it: on a busy machine an answer can take a second, and a late one
        // lets a charge be told twice and a lease be left behind.
        config.limit_charge_ms = 10_000;
        let quotas = Arc::new(Quotas::new(config.default_quota()));
        Self {
            redis,
            dir,
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            quotas,
            config,
            redis_timeout_ms: 10_000,
        }
    }

    fn limiter(&self) -> Limiter {
        let redis = RedisConfig {
            redis_url: Some(Secret::new(self.redis.url())),
            redis_prefix: "weir".into(),
            redis_timeout_ms: self.redis_timeout_ms,
            ..Config::from_env().expect("defaults").redis
        };
        let windows = Windows::open(&redis).expect("client");
        Limiter::start(&self.config, Some(windows), Arc::clone(&self.quotas), &self.tasks, self.shutdown.clone())
    }

    fn set(&self, id: &AccountId, patch: QuotaPatch) {
        let stored = StoredQuota { patch, overrides: Vec::new(), version: 1 };
        self.quotas.publish([(id.clone(), stored)].into());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.redis.resume();
        drop(self.redis.kill());
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < patience, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the account's use of a policy, as an instance sees it, lies in a range. The list of the tick is no sign of it: it is
/// empty while it is worked through.
async fn used(limiter: &Limiter, id: &AccountId, policy: Policy, expected: RangeInclusive<i64>) {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let view = limiter.view(id).await;
        let used = view.policies.iter().find(|view| view.policy == policy).expect("a policy").used;
        if expected.contains(&used) {
            return;
        }
        assert!(Instant::now() < patience, "{policy:?}: {used} used, waited in vain for {expected:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn charged(limiter: &Limiter, id: &AccountId, events: usize) -> Charge {
    match limiter.gate(id, 0) {
        Ok(pass) => pass.charge(events, 100).await,
        Err(Closed::Limited(refusal, _)) => Charge { granted: 0, refusal: Some(refusal) },
        Err(Closed::Busy) => panic!("nothing is in flight"),
    }
}

fn id(name: &str) -> AccountId {
    AccountId::new(name).expect("id")
}

fn sustained(limit: i64, mode: QuotaMode) -> QuotaPatch {
    QuotaPatch { sustained: Some(Limit { limit, mode }), ..QuotaPatch::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_share_one_limit_and_see_quotas_change() {
    let scene = Scene::new("share");
    let (small, shadow) = (id("small"), id("shadow"));
    scene.set(&small, sustained(3, QuotaMode::Enforce));
    let limiters = [scene.limiter(), scene.limiter(), scene.limiter()];
    until("Redis is connected", || !limiters.iter().any(Limiter::is_alone)).await;
    let mut granted = 0;
    for turn in 0..12 {
        granted += charged(&limiters[turn % 3], &small, 1).await.granted;
    }
    assert_eq!(granted, 3);
    let refusal = charged(&limiters[0], &small, 1).await.refusal.expect("over");
    assert_eq!((refusal.policy, refusal.limit, refusal.status()), (Policy::Sustained, 3, 429));
    assert!((59..=62).contains(&refusal.retry_after_seconds), "{refusal:?}");
    let view = limiters[1].view(&small).await;
    let first = view.policies[0];
    assert_eq!((first.policy, first.used, first.remaining, first.limit), (Policy::Sustained, 3, 0, 3));

    scene.set(&small, sustained(5, QuotaMode::Enforce));
    until("leases of the old quota are gone", || limiters[2].gate(&small, 0).is_ok()).await;
    assert_eq!(charged(&limiters[2], &small, 10).await.granted, 2);
    scene.set(&small, sustained(0, QuotaMode::Enforce));
    assert_eq!(charged(&limiters[0], &small, 1).await.refusal.map(|refusal| refusal.limit), Some(0));
    scene.set(&shadow, sustained(1, QuotaMode::Shadow));
    assert_eq!(charged(&limiters[0], &shadow, 50).await, Charge { granted: 50, refusal: None });
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_hang_die_and_come_back() {
    let mut scene = Scene::new("hurt");
    (scene.config.limit_charge_ms, scene.redis_timeout_ms) = (5, 50);
    let account = id("a");
    scene.set(&account, sustained(100, QuotaMode::Enforce));
    let limiters = [scene.limiter(), scene.limiter()];
    let both = |alone: bool| limiters.iter().all(|limiter| limiter.is_alone() == alone);
    until("both are seen", || limiters.iter().all(|limiter| limiter.shared.instances.load(Ordering::Relaxed) == 2))
        .await;
    assert_eq!(charged(&limiters[0], &account, 40).await.granted, 40);

    scene.redis.pause();
    let asked = Instant::now();
    let during = charged(&limiters[1], &account, 1_000).await;
    let waited = asked.elapsed();
    until("both have noticed", || both(true)).await;
    // 40 used as far as this one knows nothing of: its share of 100 by two.
    assert_eq!((during.granted, during.refusal.map(|refusal| refusal.policy)), (50, Some(Policy::Sustained)));
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    let asked = Instant::now();
    assert!(charged(&limiters[0], &account, 1_000).await.granted <= 50);
    println!("hung: first charge {waited:?}, a later one {:?}", asked.elapsed());

    scene.redis.resume();
    until("limits are shared again", || both(false)).await;
    used(&limiters[0], &account, Policy::Sustained, 100..=i64::MAX).await;
    assert_eq!(charged(&limiters[0], &account, 100).await.granted, 0, "both shares and the 40 are in the window");

    scene.redis.kill().expect("killed");
    until("both have noticed", || both(true)).await;
    scene.redis.start().expect("started again");
    until("limits are shared again", || both(false)).await;
    // Empty: counters restart, at most one window on top.
    assert!(charged(&limiters[0], &account, 1_000).await.granted <= 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_go_back_when_unused_and_at_the_end() {
    let scene = Scene::new("back");
    let account = id("a");
    let (one, other) = (scene.limiter(), scene.limiter());
    until("both are seen", || one.shared.instances.load(Ordering::Relaxed) == 2).await;
    for _ in 0..50 {
        assert_eq!(charged(&one, &account, 1).await.granted, 1);
    }
    used(&other, &account, Policy::Sustained, 50..=50).await;
    for _ in 0..50 {
        assert_eq!(charged(&one, &account, 1).await.granted, 1);
    }
    scene.shutdown.cancel();
    scene.tasks.close();
    scene.tasks.wait().await;
    used(&other, &account, Policy::Sustained, 100..=100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_are_capped() {
    let mut scene = Scene::new("flight");
    scene.config.limit_concurrent = 64;
    scene.quotas = Arc::new(Quotas::new(scene.config.default_quota()));
    let account = id("a");
    let limiter = scene.limiter();
    let passes: Vec<_> = (0..64).map(|_| limiter.gate(&account, 0).map_err(drop).expect("below the cap")).collect();
    let Err(Closed::Limited(refusal, fields)) = limiter.enter(&account) else { panic!("the 65th") };
    assert_eq!((refusal.policy, refusal.limit, refusal.observed), (Policy::Concurrent, 64, 65));
    assert_eq!(fields.limit, "\"concurrent\";r=0;t=1");
    assert!(limiter.enter(&id("b")).is_ok());
    assert!(passes[0].hold(Resource::Body, 8 << 20).is_ok());
    assert!(passes[0].hold(Resource::Body, 64 << 20).is_err());
    drop(passes);
    assert!(limiter.enter(&account).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_in_vain_is_counted_once_and_for_all_instances() {
    let scene = Scene::new("debit");
    let account = id("a");
    let (one, other) = (scene.limiter(), scene.limiter());
    until("both are seen", || one.shared.instances.load(Ordering::Relaxed) == 2).await;
    one.gate(&account, 0).map_err(drop).expect("open").debit(1_000);
    used(&other, &account, Policy::Bytes, 1_000..=1_000).await;
    one.gate(&account, 0).map_err(drop).expect("open").debit(500);
    used(&other, &account, Policy::Bytes, 1_500..=1_500).await;
}
