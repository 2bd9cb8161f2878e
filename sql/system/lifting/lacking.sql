-- The pages for which a lifted query gave no row.
SELECT "almanac: page"
FROM {pages}
ANTI JOIN {target} AS made ON made."almanac: as_of" = "almanac: page"
