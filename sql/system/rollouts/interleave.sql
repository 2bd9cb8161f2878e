-- Lists drafted out of two versions' rankings: each entry as the version wrote it that picked it, at its place. What both would
-- have picked is the live version's. Scores of two versions have no common scale: 1 / place falls as the list does.
COPY (
    SELECT scored.* REPLACE (drafted.place AS rank, 1 / drafted.place AS score), {arm} AS arm
    FROM read_parquet([{files}], union_by_name = true) AS scored
    JOIN {drafted} AS drafted USING (as_of, {keys})
    WHERE scored.model_version = drafted.version AND drafted.place <= {top}
    ORDER BY as_of, {keys}
) TO {file} (FORMAT parquet, COMPRESSION zstd)
