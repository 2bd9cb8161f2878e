-- What may still see rows that were deleted in this database: a name that tells one from the next, and who it is, for
-- people. Run by PostgreSQL: transactions of other sessions, prepared ones, and slots and replicas that hold rows back.
SELECT
    'transaction ' || locks.virtualtransaction AS name,
    format('the session %s of %s (%s, %s)', locks.pid, sessions.usename, coalesce(sessions.application_name, ''),
        coalesce(host(sessions.client_addr), 'this host')) AS who
FROM pg_locks AS locks
JOIN pg_stat_activity AS sessions USING (pid)
WHERE locks.locktype = 'virtualxid' AND sessions.datname = current_database() AND locks.pid <> pg_backend_pid()
    AND coalesce(sessions.backend_type, 'client backend') <> 'autovacuum worker'
UNION ALL
SELECT 'prepared ' || gid, format('the prepared transaction %s of %s', gid, owner)
FROM pg_prepared_xacts
WHERE database = current_database()
UNION ALL
SELECT 'slot ' || slot_name, format('the replication slot %s', slot_name)
FROM pg_replication_slots
WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL
UNION ALL
SELECT 'replica ' || pid, format('the replica %s (hot_standby_feedback)', coalesce(application_name, pid::text))
FROM pg_stat_replication
WHERE backend_xmin IS NOT NULL
