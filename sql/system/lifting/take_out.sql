-- Take out the rows of pages that have to be made page by page after all.
DELETE FROM {target}
WHERE "almanac: as_of" IN ({pages})
