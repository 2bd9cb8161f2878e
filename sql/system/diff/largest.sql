-- The rows of one fate, the largest change first. Parameters: what became of them, how many.
SELECT *
FROM {compared}
WHERE "almanac: what" = $1
ORDER BY abs("almanac: change") DESC NULLS LAST, {keys}
LIMIT $2
