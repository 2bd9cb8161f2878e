-- Whether the keys in one part of all rows surely differ from each other: equal keys have equal hashes, and so fall
-- into the same part. Where it says no, two keys may share a hash by chance, and `unique_keys` has to look.
SELECT count(*) = count(DISTINCT hashed)
FROM (
    SELECT hash(as_of, {keys}) AS hashed
    FROM {predictions}
)
WHERE hashed % {n_parts} = {part}
