-- The newest page's rows of one feature group in a bundle, by its key.
CREATE TABLE {table} ({key_columns}, {value_columns}, PRIMARY KEY ({keys})) WITHOUT ROWID;
