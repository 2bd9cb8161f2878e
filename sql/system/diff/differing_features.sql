-- Of each feature, in how many of the rows that changed it differs between two pages.
SELECT {counts}
FROM {compared}
WHERE "almanac: what" = 'changed'
