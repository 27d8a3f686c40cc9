//! Every handle of the process, each made once. Invariant: opening a handle needs no answer from the system behind it; whether
//! it answers is the business of its probe.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Auth;
use crate::cache::Cache;
use crate::cache::limiter::Windows;
use crate::config::{Config, ReceiptConfig};
use crate::dlq::DeadLetters;
use crate::domain::partitioner::Topics;
use crate::domain::receipt::ReceiptSealer;
use crate::domain::routes::Routes;
use crate::http::{Components, longest_request};
use crate::idempotency::Repeats;
use crate::ingest::Ingest;
use crate::kafka::{Consumer, Producer};
use crate::lanes::{self, History, Lanes};
use crate::limit::Limiter;
use crate::operators::Operators;
use crate::query::Queries;
use crate::quotas::QuotaDesk;
use crate::slo::visibility::Measured;
use crate::sources::Sources;
use crate::store::{ApiStore, EventSink, LaneStore, WorkerStore};
use crate::stream::Streams;
use crate::telemetry::health::Health;
use crate::topics::TopicClasses;
use crate::worker::{self, Keeper, Tally, Worker};

use super::alarm::Alarm;
use super::quotas::Followed;
use super::sli::Sli;
use super::{Roles, Running, background as beside};

pub(super) struct Handles {
    pub(super) health: Health,
    pub(super) producer: Arc<Producer>,
    api: Option<Api>,
    worker: Option<WorkerStore>,
    quotas: Followed,
    sli: Sli,
}

struct Api {
    auth: Auth,
    store: ApiStore,
    topics: Topics,
    cache: Cache,
    receipts: ReceiptSealer,
    operators: Operators,
    sources: Sources,
    classes: TopicClasses,
    routes: Routes,
    limiter: Limiter,
    lanes: Lanes,
    lane_store: LaneStore,
    quota_desk: QuotaDesk,
}

impl Handles {
    pub(super) async fn open(
        config: &Config,
        roles: Roles,
        tasks: &TaskTracker,
        background: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let health = Health::default();
        let producer = Producer::start(&config.kafka).context("the Kafka producer cannot be made")?;
        let probed = Arc::clone(&producer);
        health.register("log", config.http.ready_requires("log"), move || {
            let producer = Arc::clone(&probed);
            Box::pin(async move { producer.probe().await.map_err(|error| error.to_string()) })
        });
        let quotas = Followed::open(config, roles, tasks, background).await?;
        let api = match roles.api {
            true => {
                let api = Api::open(config, &health, &quotas, (tasks, background)).await?;
                let changed = Arc::new(Notify::new());
                let until = (tasks, background);
                beside::learn_topics(until, &producer, api.topics.clone(), Arc::clone(&changed));
                beside::follow_classes(until, api.classes.clone(), api.routes.clone(), changed);
                beside::sample_partitions(tasks, background, api.store.clone());
                Some(api)
            }
            false => None,
        };
        let worker = match roles.worker {
            true => Some(open_worker_store(config, &health)?),
            false => None,
        };
        let sli = Sli::open(config, roles, tasks, background)?;
        if let Some(api) = &api {
            quotas.tell_usage(&config.limit, (&api.limiter, &api.cache), &sli.store, (tasks, background));
        }
        Ok(Self { health, producer, api, worker, quotas, sli })
    }

    /// What the door stands on, where this process has one.
    pub(super) fn components(&self, config: &Config) -> Option<Arc<Components>> {
        let api = self.api.as_ref()?;
        let (producer, topics) = (Arc::clone(&self.producer), api.topics.clone());
        let streams = Streams::new(&config.stream, &config.kafka, producer, topics, api.receipts.clone());
        let ingest = Ingest::routed(config, api.routes.clone(), api.lanes.clone(), Arc::clone(&self.producer) as _);
        Some(Arc::new(Components {
            auth: api.auth.clone(),
            limiter: api.limiter.clone(),
            lanes: api.lanes.clone(),
            lane_history: History::new(api.lane_store.clone()),
            quotas: api.quota_desk.clone(),
            fairness: self.quotas.fairness(&self.sli.store),
            ingest: Arc::new(ingest),
            repeats: Repeats::new(api.cache.clone(), longest_request(config)),
            queries: Arc::new(Queries::new(
                (api.store.clone(), api.cache.clone()),
                api.receipts.clone(),
                api.routes.clone(),
                &config.query,
            )),
            streams: Arc::new(streams),
            receipts: api.receipts.clone(),
            operators: api.operators.clone(),
            sources: api.sources.clone(),
            topics: api.classes.clone(),
            health: self.health.clone(),
            config: config.http.clone(),
            caps: config.ingest.clone(),
            desk: self.sli.desk.clone(),
            status_page: config.slo.status_page,
            sli: self.sli.recorder.clone(),
            tracer: self.sli.tracer.clone(),
        }))
    }

    pub(super) fn start_worker(&self, config: &Config, tasks: &TaskTracker, alarm: &Alarm) -> anyhow::Result<Running> {
        let store = self.worker.clone().context("this process has no worker role")?;
        let consumer = Consumer::start(&config.kafka, &[]).context("the Kafka consumer cannot be made")?;
        let publisher = Arc::clone(&self.producer) as _;
        let dead = DeadLetters::new(publisher, &config.kafka.kafka_dead_letter_topic, config.kafka.ack_timeout());
        let stop = CancellationToken::new();
        tasks.spawn(worker::retire::run(store.clone(), config.database.retention_days, stop.clone()));
        let sink: Arc<dyn EventSink> = match &self.sli.recorder {
            Some(recorder) => Arc::new(Measured::new(Arc::new(store.clone()), recorder.clone())),
            None => Arc::new(store.clone()),
        };
        let mut worker =
            Worker::new(&config.worker, &config.database, consumer, sink, dead).weighing(self.quotas.weights());
        let keeper = Arc::new(Keeper::new(store, config.worker.worker_sketch_events));
        worker = worker.sketching(Arc::clone(&keeper));
        if let Some(tracer) = &self.sli.tracer {
            worker = worker.tracing(tracer.clone());
        }
        let until = stop.clone();
        tasks.spawn(async move { keeper.run(until).await });
        if config.redis.redis_url.is_some() {
            let tally = Arc::new(Tally::new(Cache::open(&config.redis).context("REDIS_URL")?));
            worker = worker.counting(Arc::clone(&tally));
            let until = stop.clone();
            tasks.spawn(async move { tally.run(until).await });
        }
        let (until, mut guard) = (stop.clone(), alarm.guard("the worker"));
        let ended = tasks.spawn(async move {
            match worker.run(until).await {
                Ok(()) => guard.ended_as_asked(),
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "the worker ended"),
            }
        });
        Ok(Running { stop, ended })
    }

    pub(super) async fn close(self) {
        if let Some(api) = self.api {
            api.store.close().await;
        }
        if let Some(worker) = self.worker {
            worker.close().await;
        }
        self.quotas.store.close().await;
        self.sli.store.close().await;
    }
}

impl Api {
    async fn open(
        config: &Config,
        health: &Health,
        quotas: &Followed,
        (tasks, background): (&TaskTracker, &CancellationToken),
    ) -> anyhow::Result<Self> {
        let auth = Auth::start(&config.auth, tasks, background).await.context("tokens cannot be verified")?;
        let topics = Topics::new(&config.kafka.kafka_topic);
        let store = ApiStore::open(&config.database).map_err(anyhow::Error::from_boxed).context("DATABASE_URL")?;
        let store = store.with_topics(topics.clone());
        let cache = Cache::open(&config.redis).context("REDIS_URL")?;
        let (probed_auth, probed_store, probed_cache) = (auth.clone(), store.clone(), cache.clone());
        health.register("tokens", true, move || {
            let answer = probed_auth.probe();
            Box::pin(async move { answer })
        });
        health.register("store", config.http.ready_requires("store"), move || {
            let store = probed_store.clone();
            Box::pin(async move { store.probe().await.map_err(|_| "no answer from Postgres".to_owned()) })
        });
        health.register("cache", config.http.ready_requires("cache"), move || {
            let cache = probed_cache.clone();
            Box::pin(async move { cache.probe().await.map_err(|_| "no answer from Redis".to_owned()) })
        });
        let operators = Operators::new(&store);
        let sources = Sources::start(&operators, &config.operators, (tasks, background)).context("WEIR_SEAL_KEY")?;
        let classes = TopicClasses::start(&operators, &config.kafka, &config.operators, (tasks, background));
        let routes = Routes::new(&config.kafka.kafka_topic);
        let receipts = sealer(&config.receipts);
        let windows = Windows::open(&config.redis).context("REDIS_URL")?;
        let limiter =
            Limiter::start(&config.limit, Some(windows), Arc::clone(&quotas.quotas), tasks, background.clone());
        let quota_desk = QuotaDesk::new(quotas.store.clone(), Arc::clone(&quotas.quotas), cache.clone());
        let lanes = Lanes::start(&config.lanes, &operators, &config.operators, (tasks, background));
        let lane_store =
            LaneStore::open(&config.database).map_err(anyhow::Error::from_boxed).context("DATABASE_URL")?;
        let sharers = limiter.clone();
        let watch = lanes::watch(lanes.clone(), lane_store.clone(), move || sharers.instances(), background.clone());
        tasks.spawn(watch);
        Ok(Self {
            auth,
            store,
            topics,
            cache,
            receipts,
            operators,
            sources,
            classes,
            routes,
            limiter,
            lanes,
            lane_store,
            quota_desk,
        })
    }
}

/// Without a configured secret one is made up: nobody can guess it, and no other process has it.
fn sealer(config: &ReceiptConfig) -> ReceiptSealer {
    match &config.receipt_key {
        Some(key) => ReceiptSealer::new(key.expose().as_bytes()),
        None => {
            tracing::warn!("WEIR_RECEIPT_KEY is not set: receipts open in this process only, until it ends");
            ReceiptSealer::new(&rand::random::<[u8; 32]>())
        }
    }
}

fn open_worker_store(config: &Config, health: &Health) -> anyhow::Result<WorkerStore> {
    let store = WorkerStore::open(&config.database, &config.worker).map_err(anyhow::Error::from_boxed);
    let store = store.context("DATABASE_WORKER_URL")?;
    let probed = store.clone();
    // A name of its own: beside an API it is the same Postgres, but another login.
    health.register("worker_store", config.http.ready_requires("store"), move || {
        let store = probed.clone();
        Box::pin(async move { store.probe().await.map_err(|_| "no answer from Postgres for the worker".to_owned()) })
    });
    Ok(store)
}
