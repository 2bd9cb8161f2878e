-- The looks of a rollout; of a page that was made again and looked at again the newest last.
SELECT {columns}
FROM ledger.looks
WHERE rollout_id = $1
ORDER BY as_of, arm, snapshot_id
