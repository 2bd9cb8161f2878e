-- Some entities of the newest page, any, as a request would give them, with what the page predicts of them.
SELECT {given}, rows.{score} AS "almanac: score", epoch_us(rows.valid_until) AS "almanac: valid_until"
FROM {relation} AS rows
JOIN {features} AS features USING (as_of, {keys})
WHERE rows.as_of = $as_of
ORDER BY hash({keys}), {keys}
LIMIT $most
