-- Feature pages as a relation: those that the lake has already, and those just staged.
(
    SELECT * FROM {lake}.features.{table} WHERE as_of IN ({pages})
)
