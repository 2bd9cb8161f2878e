-- Rows of sources and of pages always lie in files. DuckLake would give each of their tables another one in the
-- catalogue, for rows that come ten or fewer at a time; they come as staged files. But to read such a table, even an
-- empty one, it reads the whole catalogue as it was when the table was made: each instance did so once for each table
-- that it read, in 20 to 45 ms. Tables that are there keep theirs.
CALL lake.set_option('data_inlining_row_limit', '0', schema => 'sources');
CALL lake.set_option('data_inlining_row_limit', '0', schema => 'features');
CALL lake.set_option('data_inlining_row_limit', '0', schema => 'labels');
CALL lake.set_option('data_inlining_row_limit', '0', schema => 'predictions')
