-- A feature group's rows of one page, for a bundle. A NULL in its key is joined to nothing.
SELECT {keys}, {values}
FROM {rows}
WHERE {has_keys}
