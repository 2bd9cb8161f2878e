-- What a bundle says of entities that it has no row of, by coarser keys: almanac_level 0 is the finest.
CREATE TABLE fallback (almanac_level INTEGER NOT NULL, {key_columns}valid_until INTEGER NOT NULL,
    facts TEXT NOT NULL, prediction TEXT NOT NULL);
CREATE UNIQUE INDEX fallback_by_key ON fallback (almanac_level{keys});
