-- Hashes of the keys in one part of all rows: equal keys have equal hashes, and so fall into the same part.
SELECT hashed
FROM (
    SELECT hash(as_of, {keys}) AS hashed
    FROM {predictions}
)
WHERE hashed % {n_parts} = {part}
