-- What a scorer reads of some pages, and what its predictions are looked up by.
SELECT {columns}
FROM {features}
