-- Those of the rows that have a label.
(SELECT * FROM {rows} WHERE label IS NOT NULL)
