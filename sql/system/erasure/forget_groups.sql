-- Forget groups of a fallback's labels. Parameters: product, columns; of each group its page, its run and its values as text.
DELETE FROM ledger.label_sums
WHERE product = $1 AND "columns" = $2::VARCHAR[]
    AND (as_of, run_id, CAST(group_values AS VARCHAR))
        IN (SELECT (unnest($3::TIMESTAMP[]), unnest($4::VARCHAR[]), unnest($5::VARCHAR[])))
