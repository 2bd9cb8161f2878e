-- The rows of a page as they were at an earlier snapshot; columns that came since are NULL.
INSERT INTO {target} BY NAME
SELECT *
FROM {rows}
