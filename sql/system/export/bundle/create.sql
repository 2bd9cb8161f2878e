-- A bundle's tables, in SQLite. The key is the table itself, so that a look-up walks one tree. What rows have in common,
-- such as their page and version, stands once in almanac_made. valid_until is in microseconds since 1970.
CREATE TABLE almanac_made (almanac_made INTEGER PRIMARY KEY, facts TEXT NOT NULL);
CREATE TABLE predictions ({key_columns}, valid_until INTEGER NOT NULL, rank INTEGER, almanac_made INTEGER NOT NULL,
    prediction TEXT NOT NULL, PRIMARY KEY ({keys})) WITHOUT ROWID;
