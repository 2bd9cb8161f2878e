-- Merge a table's small files into one large one. What earlier snapshots show stays the same. (Each of these is a CALL:
-- it commits whether or not its rows are read, where a SELECT does only once they all are.)
-- Parameters: table, schema, bytes up to which a file is small.
CALL ducklake_merge_adjacent_files('lake', $1, schema => $2, max_compacted_files => 1, max_file_size => $3)
