-- The texts that the ledger has kept of a file of definitions. Parameter: its path in the suite.
SELECT DISTINCT files[$1]
FROM ledger.definitions
WHERE files[$1] IS NOT NULL
