-- The three logins of Weir. Run by the superuser with psql, as often as you like: it creates what is missing and sets
-- every password and attribute anew.
--
--   weir_migrate  owns the database and its tables          weir_api  serves HTTP, under row-level security
--   weir_worker   writes for all accounts (COPY refuses row-level security)
--
-- Passwords: the psql variables migrate_password, api_password, worker_password, or, where a variable is not set, the
-- environment's WEIR_MIGRATE_PASSWORD, WEIR_API_PASSWORD, WEIR_WORKER_PASSWORD (Docker's entry point has only these).

\set ON_ERROR_STOP 1
\if :{?migrate_password} \else \getenv migrate_password WEIR_MIGRATE_PASSWORD
\endif
\if :{?api_password} \else \getenv api_password WEIR_API_PASSWORD
\endif
\if :{?worker_password} \else \getenv worker_password WEIR_WORKER_PASSWORD
\endif

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['weir_migrate', 'weir_api', 'weir_worker']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

ALTER ROLE weir_migrate LOGIN NOSUPERUSER NOCREATEROLE NOBYPASSRLS PASSWORD :'migrate_password';
ALTER ROLE weir_api LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS PASSWORD :'api_password';
ALTER ROLE weir_worker LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB BYPASSRLS PASSWORD :'worker_password';

-- Docker's entry point runs this inside the service's own database, which the superuser made.
SELECT current_database() <> 'postgres' AS in_own_database
\gset
\if :in_own_database
ALTER DATABASE :"DBNAME" OWNER TO weir_migrate;
\endif
