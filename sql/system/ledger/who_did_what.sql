-- What people decided, as the ledger keeps it: one row a deed, with when, who and why.
-- That a version went live after its training is a decision of whoever had it trained.
SELECT
    decided_at AS done_at,
    decided_by AS who,
    CASE WHEN action = 'train' THEN 'promote after training' ELSE action END AS what,
    product,
    version AS concerns,
    reason AS why,
    CASE WHEN forced THEN 'forced' WHEN taken THEN 'done' ELSE 'refused' END AS outcome,
    snapshot_id
FROM ledger.decisions
WHERE action <> 'train' OR taken
UNION ALL
-- Lakes that earlier versions made have promotions without a decision.
SELECT promoted_at, promoted_by, coalesce(action, 'promote'), product, version, reason,
    CASE WHEN forced THEN 'forced' ELSE 'done' END, promotions.snapshot_id
FROM ledger.promotions
ANTI JOIN ledger.decisions USING (product, version, snapshot_id)
UNION ALL
SELECT rolled_back_at, rolled_back_by, 'roll back a page', product, strftime(as_of, '%Y-%m-%dT%H:%M'), reason, 'done', snapshot_id
FROM ledger.rollbacks
UNION ALL
SELECT min(known_by), decided_by, state || ' an alarm', product, alarm_id, reason, 'done', min(snapshot_id)
FROM ledger.alarms
WHERE decided_by IS NOT NULL AND state IN ('accepted', 'closed')
GROUP BY alarm_id, product, state, decided_by, reason
UNION ALL
SELECT decided_at, decided_by, action || ' a rollout', product, array_to_string(versions, ', '), reason, 'done', snapshot_id
FROM ledger.rollout_steps
WHERE decided_by <> 'almanac'
UNION ALL
SELECT deployed_at, deployed_by, 'deploy', NULL,
    concat('deployment ', deployment, ' (back to ' || back_to || ')', ', commit ' || left(git_commit, 12)),
    concat(reason, ' (against it: ' || nullif(array_to_string(problems, '; '), '') || ')'),
    CASE WHEN forced THEN 'forced' ELSE 'done' END, snapshot_id
FROM ledger.deployments
UNION ALL
SELECT erased_at, erased_by, 'erase a ' || subject, NULL, 'erasure ' || erasure_id, reason, 'done', snapshot_id
FROM ledger.erasures
ORDER BY done_at, snapshot_id
