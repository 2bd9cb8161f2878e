-- The columns of a table, with their types as PostgreSQL writes them, and whether an INSERT may leave them out.
SELECT attname::text AS name, format_type(atttypid, atttypmod) AS kind, NOT attnotnull OR atthasdef OR attidentity <> '' AS may_lack
FROM pg_attribute
WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
