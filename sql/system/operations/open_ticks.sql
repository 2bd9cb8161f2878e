-- The ticks without an outcome, oldest first: of each job the first ones and the newest, since after a long outage
-- there may be hundreds of thousands. Parameter: how many of each.
SELECT job_id, at, page, seen_at, missed, attempts, abandoned, not_before, run
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY job_id ORDER BY at) AS nth,
        lead(at) OVER (PARTITION BY job_id ORDER BY at) AS following
    FROM ticks
    WHERE outcome IS NULL
)
WHERE nth <= ? OR following IS NULL
ORDER BY job_id, at
