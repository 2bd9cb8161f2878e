-- How many facts are held, how many of them a complete delivery lacks, how many rows it has, and of how many no key
-- can be told.
WITH delivered AS (
    SELECT {key} FROM delivery
    UNION ALL
    SELECT {key} FROM refused
)
SELECT
    (SELECT count(*) FROM newest WHERE NOT withdrawn),
    (SELECT count(*) FROM newest ANTI JOIN delivered USING ({key}) WHERE NOT withdrawn),
    (SELECT count(*) FROM delivered),
    (SELECT count(*) FROM delivered WHERE {key_is_null})
