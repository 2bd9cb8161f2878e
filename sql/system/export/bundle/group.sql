-- A feature group's rows, as the model is given them, into a bundle in the order of its key.
INSERT INTO target.{table}
SELECT *
FROM {rows}
ORDER BY {keys}
