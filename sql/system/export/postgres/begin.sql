-- Wait for another export to this table, but not for ever.
SET LOCAL lock_timeout = '30s';
-- Room to sort keys and to join a table with what was staged without files in between, where the server has less.
SELECT
    set_config('work_mem', greatest(pg_size_bytes(current_setting('work_mem')), pg_size_bytes('128MB')) / 1024 || 'kB', TRUE),
    set_config(
        'maintenance_work_mem',
        greatest(pg_size_bytes(current_setting('maintenance_work_mem')), pg_size_bytes('256MB')) / 1024 || 'kB', TRUE
    );
SELECT pg_advisory_xact_lock(hashtextextended({place}, 15))
