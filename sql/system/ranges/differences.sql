-- How many rows of one page differ between the range way ({fast}) and the plain way ({plain}). Columns whose
-- last bits may depend on the order of summing are rounded to nine significant digits before.
SELECT count(*)
FROM (
    (SELECT {columns} FROM {fast} EXCEPT ALL SELECT {columns} FROM {plain})
    UNION ALL
    (SELECT {columns} FROM {plain} EXCEPT ALL SELECT {columns} FROM {fast})
)
