-- What the labels that were known at a page came to, by the groups of its product's `fallback`: of each how many there
-- were, and their sum (of classes: how many of each). They are of the run that published the page, as profiles are.
CREATE TABLE IF NOT EXISTS ledger.label_sums (
    product VARCHAR, as_of TIMESTAMP, run_id VARCHAR, columns VARCHAR[], group_values VARCHAR[], n_rows BIGINT,
    sums MAP(VARCHAR, DOUBLE), n_pages BIGINT, first_page TIMESTAMP, last_page TIMESTAMP
)
