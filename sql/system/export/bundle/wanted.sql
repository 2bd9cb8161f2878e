-- How many rows the bundle is to have, and until when the last of them is valid.
SELECT count(*), max(valid_until)
FROM {relation}
