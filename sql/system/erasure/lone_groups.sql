-- The groups of a fallback's labels that may have nobody but the person in them: as_of, run, group. Where feature pages
-- were never published, their rows cannot be counted, and there is at least one of each page if they are alone.
-- Parameters: those of the condition.
SELECT sums.as_of, sums.run_id, CAST(sums.group_values AS VARCHAR) AS group_text
FROM ledger.label_sums AS sums
JOIN (
    SELECT as_of, {group_values} AS group_values
    FROM features.{table}
    WHERE {theirs}
) AS own USING (group_values)
WHERE sums.product = {product} AND sums.columns = {names}
GROUP BY sums.as_of, sums.run_id, sums.group_values
HAVING max(sums.n_rows) <= greatest(
    count(*) FILTER (own.as_of BETWEEN sums.first_page AND sums.last_page),
    max(sums.n_pages)
)
