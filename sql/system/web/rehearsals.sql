-- Rehearsals, the newest first. Parameter: product.
SELECT rehearsal_id, known_by, begins, ends, best, metric, held_out_from,
    (SELECT count(DISTINCT policy) FROM ledger.rehearsed_policies AS rows WHERE rows.rehearsal_id = rehearsals.rehearsal_id)
        AS policies
FROM ledger.rehearsals
WHERE product = $1
ORDER BY known_by DESC, rehearsal_id
LIMIT 50
