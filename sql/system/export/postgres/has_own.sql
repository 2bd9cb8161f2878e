-- Whether any export has gone to this database.
SELECT to_regclass('almanac.exports') IS NOT NULL AS found
