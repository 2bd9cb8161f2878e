-- What a new SELECT is made of: the facts (or rejects) of another derivation, with their columns under the names that
-- the files have for them.
CREATE OR REPLACE TEMP VIEW "almanac: facts" AS
SELECT {reads}
FROM {table}
