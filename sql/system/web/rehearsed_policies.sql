-- What the policies of a rehearsal came to on some pages. Parameters: rehearsal, which pages.
SELECT policy, is_best, trainings, promoted, cpu_s, n_pages, figure, low, high, better, better_low, better_high,
    acute_alarms, drift_alarms, performance_alarms, age_days, n_faulty, n_failed
FROM ledger.rehearsed_policies
WHERE rehearsal_id = $1 AND part = $2
ORDER BY place
