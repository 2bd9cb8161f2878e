-- What tells how this DuckDB hashes: a version that hashes otherwise gives other numbers. Values of all types by which
-- sources are divided.
SELECT
    hash('almanac'), hash(true), hash(DATE '2000-02-29'), hash(TIMESTAMP '2000-02-29 12:00:00'),
    hash(42::TINYINT), hash(42::SMALLINT), hash(42::INTEGER), hash(42::BIGINT),
    hash(42::UTINYINT), hash(42::USMALLINT), hash(42::UINTEGER), hash(42::UBIGINT),
    hash('00000000-0000-0000-0000-000000000042'::UUID), hash(42::BIGINT, 'almanac'), hash(NULL::VARCHAR)
