-- The keys, by their hashes, of which a delivery's rows have to be compared with others: a delivery has them more than
-- once, or they are held or were turned away before. Two keys of one hash are both compared, which does no harm.
CREATE OR REPLACE TEMP TABLE ambiguous AS
SELECT hash({key}) AS "almanac: key"
FROM delivery
GROUP BY ALL
HAVING count(*) > 1
UNION ALL
SELECT hash({same_type})
FROM {near}
UNION ALL
SELECT hash({same_type})
FROM {rejected}
