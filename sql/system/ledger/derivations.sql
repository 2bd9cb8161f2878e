-- Each derivation of each source, as dropped if it was.
SELECT {columns}
FROM ledger.derivations
QUALIFY row_number() OVER (PARTITION BY source, derivation ORDER BY state) = 1
ORDER BY source, derivation
