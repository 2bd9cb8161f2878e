-- Which of some lists of a page are kept whole, by their numbers.
SELECT {place}, {is_kept} AS is_kept
FROM (SELECT {as_of} AS as_of, * FROM {lists})
