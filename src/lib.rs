//! Weir: multi-tenant event ingestion with per-account fairness.
//!
//! This file lists the stations of the path (see `docs/architecture.md` for the story) and fixes the words used in code,
//! SQL, metrics, logs, API and docs. The invariant of the whole: a 2xx means Kafka has the event on all in-sync replicas,
//! and every event ends in exactly one [`domain::outcome::Outcome`].
//!
//! | word | meaning |
//! |---|---|
//! | account | a tenant; the unit of fairness and of isolation |
//! | event | one thing that happened, as a tenant sends it |
//! | record | an event as Kafka holds it: canonical JSON, key, headers |
//! | receipt | topic, partition and offset of a record |
//! | outcome | how an event ended: accepted, duplicate, rejected, limited, dead-lettered, failed |
//! | dead letter | a record the worker could not store, kept byte for byte with its reason |
//! | quota | what an account may do; a quota is a set of policies |
//! | policy | one limit of a quota: `sustained`, `burst`, `bytes` |
//! | lane | `standard` or `bulk`: which topic an account's events take |
//! | source | a provider that sends events in its own form, signed, under a row operators keep |
//! | window | a range of time, both ends inclusive at one-second resolution |
//! | summary | counts and top users of one account over a window |
//! | counts | events per account, name, channel and 15-minute bucket, changed only by rows really inserted |
//! | SLI / SLO | a measured level of service / the level promised |

pub mod app;
pub mod auth;
pub mod cache;
pub mod cli;
pub mod codec;
pub mod config;
pub mod dlq;
pub mod domain;
pub mod http;
pub mod idempotency;
pub mod ingest;
pub mod kafka;
pub mod lanes;
pub mod limit;
pub mod operators;
pub mod query;
pub mod quotas;
pub mod slo;
pub mod sources;
pub mod store;
pub mod stream;
pub mod telemetry;
pub mod topics;
pub mod worker;
