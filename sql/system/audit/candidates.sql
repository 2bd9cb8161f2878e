-- How many candidates each list of some pages has.
SELECT as_of, {list}, {count} AS "almanac: n_candidates"
FROM {rows}
GROUP BY as_of, {list}
