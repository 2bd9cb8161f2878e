-- In how many of the rows that both states of pages have each column differs, and by how much at most.
SELECT count(*), {figures}
FROM {before} AS before
JOIN {after} AS after ON {match}
