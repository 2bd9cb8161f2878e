{level} AS (
    SELECT {groups}sums.n_rows, {totals}, page.valid_until, page.model_version, page.run_id, page.published_at,
        page.hindsight
    FROM page
    JOIN ledger.label_sums AS sums ON sums.run_id = page.run_id
    WHERE sums.product = {product} AND sums.as_of = {newest} AND sums.columns = {names}
)
