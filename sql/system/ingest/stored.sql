-- What is held of the facts that a delivery is compared with: every version.
CREATE OR REPLACE TEMP VIEW stored AS
SELECT {columns}, withdrawn, known_at
FROM {near}
