-- What checks found wrong in some runs, by check: severity, pages, rows, the first message, and whether pages were kept
-- back. Parameter: the runs.
SELECT name, severity, count(*) AS n_pages, sum(wrong_rows)::BIGINT AS wrong_rows, min(message) AS message,
    list(as_of ORDER BY as_of) AS pages
FROM ledger.checks
WHERE NOT passed AND list_contains($1, run_id)
GROUP BY name, severity
ORDER BY severity, name
