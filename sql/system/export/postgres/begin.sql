-- Wait for another export to this table, but not for ever.
SET LOCAL lock_timeout = '30s';
SELECT pg_advisory_xact_lock(hashtextextended({place}, 15))
