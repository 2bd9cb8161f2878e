-- The publications of a product that wait to be exported, in the order of their publication. Parameter: product.
SELECT {columns}
FROM ledger.outbox AS outbox
WHERE
    product = $1
    AND state = 'waiting'
    AND NOT EXISTS (
        FROM ledger.exports AS exports
        WHERE
            exports.product = outbox.product AND exports.target = outbox.target AND exports.as_of = outbox.as_of
            AND exports.snapshot_id = outbox.snapshot_id AND exports.state <> 'failed'
    )
ORDER BY snapshot_id, as_of, target
