-- In the bundle: how many rows there are, how many of them JSON can say (it has no word for NaN and infinity).
SELECT count(*), coalesce(sum(json_valid('{' || prediction || '}')), 0)
FROM predictions
