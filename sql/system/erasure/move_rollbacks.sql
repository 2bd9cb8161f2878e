-- A page that was put back is still that, once rows of it are gone. Parameters: product; pages, snapshots that they had
-- before; the one that they have now.
UPDATE ledger.rollbacks
SET snapshot_id = $4
FROM (SELECT unnest($2::TIMESTAMP[]) AS as_of, unnest($3::BIGINT[]) AS before) AS changed
WHERE rollbacks.product = $1 AND rollbacks.as_of = changed.as_of AND rollbacks.snapshot_id = changed.before
