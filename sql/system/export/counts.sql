-- How many rows there are, and of each column how many values: what a target may not have changed.
SELECT {counts}
FROM {relation}
