-- Measurements of what fresh data is worth, the newest first. Parameter: product.
SELECT freshness_id, known_by, first_page, last_page, n_pages, loss, rows_a_year, cpu_s AS cpu_s_of_a_training, measured_by,
    notes
FROM ledger.freshness
WHERE product = $1
ORDER BY known_by DESC, freshness_id
LIMIT 50
