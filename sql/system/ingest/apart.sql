-- What a delivery comes to besides the rows that could be read: those refused for a cell, and withdrawals of what a
-- complete delivery lacks. Their types are those that a delivery and what is held have in common.
CREATE OR REPLACE TEMP TABLE apart AS
SELECT
    *,
    false AS "almanac: withdrawn",
    NULL::TIMESTAMP AS "almanac: known_at",
    '' AS "almanac: fate",
    '' AS "almanac: reason"
FROM (
    SELECT {columns} FROM delivery
    UNION ALL
    SELECT {columns} FROM newest
)
LIMIT 0
