-- Write the rows that are kept in the catalogue into data files.
CALL ducklake_flush_inlined_data('lake')
