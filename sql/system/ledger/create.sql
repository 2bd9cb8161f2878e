-- The ledger: what happened, in tables that are only ever appended to. Made once, with the lake.
-- All times are naive UTC. The newest row of a thing is the one that counts.

CREATE SCHEMA sources;      -- facts, one table a source
CREATE SCHEMA rejects;      -- rows that broke a source's rules, one table a source, with the reason
CREATE SCHEMA features;     -- features, one table a product: entity x page
CREATE SCHEMA labels;       -- outcomes, one table a product: entity x page
CREATE SCHEMA predictions;  -- predictions, one table and three views a product
CREATE SCHEMA ledger;

-- Which version of Almanac's lake format this is, and which suite's lake.
CREATE TABLE ledger.format (version INTEGER, suite_id VARCHAR, made_by VARCHAR, made_at TIMESTAMP);

-- One row for each delivery that was taken in.
CREATE TABLE ledger.ingestions (
    ingest_id BIGINT, source VARCHAR, definition VARCHAR,
    files STRUCT(path VARCHAR, sha256 VARCHAR, bytes BIGINT)[],
    rows_read BIGINT, rows_new BIGINT, rows_restated BIGINT, rows_withdrawn BIGINT,
    rows_unchanged BIGINT, rows_rejected BIGINT,
    min_known_at TIMESTAMP, max_known_at TIMESTAMP, ingested_at TIMESTAMP, run_id VARCHAR, snapshot_id BIGINT
);

-- One row for each time that a page was published, or was tried and not published.
CREATE TABLE ledger.pages (
    product VARCHAR, kind VARCHAR, as_of TIMESTAMP, state VARCHAR, run_id VARCHAR,
    definitions VARCHAR, ingest_id BIGINT, model_version VARCHAR, hindsight BOOLEAN,
    n_rows BIGINT, valid_until TIMESTAMP, recorded_at TIMESTAMP, snapshot_id BIGINT, note VARCHAR
);

-- One row for each run: one batch of pages, one ingestion, one training.
CREATE TABLE ledger.runs (
    run_id VARCHAR, job VARCHAR, product VARCHAR, state VARCHAR, started_at TIMESTAMP, finished_at TIMESTAMP,
    first_as_of TIMESTAMP, last_as_of TIMESTAMP, n_pages BIGINT, n_rows BIGINT, bytes_written BIGINT,
    wall_s DOUBLE, cpu_s DOUBLE, peak_memory_bytes BIGINT,
    definitions VARCHAR, ingest_id BIGINT, model_version VARCHAR, snapshot_id BIGINT,
    owner VARCHAR, team VARCHAR, host VARCHAR, almanac_version VARCHAR, error VARCHAR
);

-- One row for each check on each page.
CREATE TABLE ledger.checks (
    run_id VARCHAR, product VARCHAR, as_of TIMESTAMP, name VARCHAR, severity VARCHAR,
    passed BOOLEAN, wrong_rows BIGINT, message VARCHAR
);

-- The first wrong rows of each check that did not pass, as JSON.
CREATE TABLE ledger.wrong_rows (
    run_id VARCHAR, product VARCHAR, as_of TIMESTAMP, name VARCHAR, wrong_row VARCHAR
);

-- The text of every set of definitions that made a page or a model, by its hash.
CREATE TABLE ledger.definitions (definitions VARCHAR, product VARCHAR, recorded_at TIMESTAMP, files MAP(VARCHAR, VARCHAR));

-- The page grid of each product, whenever it changed.
CREATE TABLE ledger.grids (product VARCHAR, cron VARCHAR, zone VARCHAR, since TIMESTAMP, recorded_at TIMESTAMP);

-- One row for each model version.
CREATE TABLE ledger.models (
    product VARCHAR, version VARCHAR, label_cutoff TIMESTAMP, trained_at TIMESTAMP, run_id VARCHAR,
    first_page TIMESTAMP, last_page TIMESTAMP, n_pages BIGINT, n_rows BIGINT,
    definitions VARCHAR, ingest_id BIGINT, estimator VARCHAR, parameters VARCHAR, seed BIGINT,
    features VARCHAR[], metrics MAP(VARCHAR, DOUBLE), libraries MAP(VARCHAR, VARCHAR),
    artifact VARCHAR, sha256 VARCHAR, scorer VARCHAR, scorer_reason VARCHAR, trained_by VARCHAR
);

-- Which version was made live, from which as_of on, by whom and why.
CREATE TABLE ledger.promotions (
    product VARCHAR, version VARCHAR, effective_from TIMESTAMP, promoted_at TIMESTAMP, promoted_by VARCHAR, reason VARCHAR
);
