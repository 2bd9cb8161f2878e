-- When each derivation of a source was last used: made, ingested into, or read by a page or a training. Definitions
-- that were written down before there were derivations read the first one. Parameter: source.
WITH readers AS (
    SELECT DISTINCT definitions, coalesce(derivations[$1], 1) AS derivation
    FROM ledger.definitions
    WHERE derivations IS NULL OR cardinality(derivations) = 0 OR derivations[$1] IS NOT NULL
)
SELECT derivation, max(used_at)
FROM (
    SELECT derivation, recorded_at AS used_at
    FROM ledger.derivations
    WHERE source = $1 AND state = 'made'
    UNION ALL
    SELECT coalesce(ingestions.derivation, 1), runs.finished_at
    FROM ledger.ingestions
    JOIN ledger.runs USING (run_id)
    WHERE ingestions.source = $1
    UNION ALL
    SELECT readers.derivation, pages.recorded_at
    FROM ledger.pages
    JOIN readers USING (definitions)
    UNION ALL
    SELECT readers.derivation, models.trained_at
    FROM ledger.models
    JOIN readers USING (definitions)
)
GROUP BY derivation
