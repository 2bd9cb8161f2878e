-- Functions that make strings and lists out of nothing, with bounds: under their own names, before DuckDB's, for
-- authors' queries and the SELECTs of sources. DuckDB looks for no interrupt inside a call, and its memory limit does not hold there.
CREATE OR REPLACE {macro} {schema}.repeat
    (x VARCHAR, n BIGINT) AS system.main.repeat(
        x, CASE WHEN n * strlen(x) > 100000 THEN error('repeat() makes at most 100,000 bytes') ELSE n END
    ),
    (x BLOB, n BIGINT) AS system.main.repeat(
        x, CASE WHEN n * octet_length(x) > 100000 THEN error('repeat() makes at most 100,000 bytes') ELSE n END
    );
CREATE OR REPLACE {macro} {schema}.lpad(x, n, c) AS system.main.lpad(
    x, CASE WHEN n > 10000 THEN error('lpad() makes at most 10,000 characters') ELSE n END, c
);
CREATE OR REPLACE {macro} {schema}.rpad(x, n, c) AS system.main.rpad(
    x, CASE WHEN n > 10000 THEN error('rpad() makes at most 10,000 characters') ELSE n END, c
);
CREATE OR REPLACE {macro} {schema}.bar
    (x, a, b) AS system.main.bar(x, a, b),
    (x, a, b, n) AS system.main.bar(
        x, a, b, CASE WHEN n > 10000 THEN error('bar() makes at most 10,000 characters') ELSE n END
    );
CREATE OR REPLACE {macro} {schema}.bitstring(x, n) AS system.main.bitstring(
    x, CASE WHEN n > 100000 THEN error('bitstring() makes at most 100,000 bits') ELSE n END
);
CREATE OR REPLACE {macro} {schema}.range
    (a BIGINT) AS system.main.range(
        CASE WHEN a > 10000 THEN error('range() makes lists of at most 10,000; in FROM, as many rows') ELSE a END
    ),
    (a BIGINT, b BIGINT) AS system.main.range(
        a,
        CASE
            WHEN b::HUGEINT - a > 10000
                THEN error('range() makes lists of at most 10,000; in FROM, as many rows as you like')
            ELSE b
        END
    ),
    (a BIGINT, b BIGINT, c BIGINT) AS system.main.range(
        a,
        CASE
            WHEN abs((b::DOUBLE - a) / c) > 10000
                THEN error('range() makes lists of at most 10,000; in FROM, as many rows as you like')
            ELSE b
        END,
        c
    ),
    (a TIMESTAMP, b TIMESTAMP, c INTERVAL) AS system.main.range(
        a,
        CASE
            WHEN abs((epoch(b) - epoch(a)) / epoch(c)) > 10000
                THEN error('range() makes lists of at most 10,000; in FROM, as many rows as you like')
            ELSE b
        END,
        c
    );
CREATE OR REPLACE {macro} {schema}.generate_series
    (a BIGINT) AS system.main.generate_series(
        CASE WHEN a > 10000 THEN error('generate_series() makes lists of at most 10,000') ELSE a END
    ),
    (a BIGINT, b BIGINT) AS system.main.generate_series(
        a,
        CASE WHEN b::HUGEINT - a > 10000 THEN error('generate_series() makes lists of at most 10,000') ELSE b END
    ),
    (a BIGINT, b BIGINT, c BIGINT) AS system.main.generate_series(
        a,
        CASE
            WHEN abs((b::DOUBLE - a) / c) > 10000 THEN error('generate_series() makes lists of at most 10,000')
            ELSE b
        END,
        c
    ),
    (a TIMESTAMP, b TIMESTAMP, c INTERVAL) AS system.main.generate_series(
        a,
        CASE
            WHEN abs((epoch(b) - epoch(a)) / epoch(c)) > 10000
                THEN error('generate_series() makes lists of at most 10,000')
            ELSE b
        END,
        c
    )
