//! Private Postgres, Redis and Kafka as child processes; being built.
