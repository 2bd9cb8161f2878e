-- What rows have in common: how they were made, each once, as the inside of a JSON object.
INSERT INTO target.almanac_made
SELECT row_number() OVER (ORDER BY facts), facts
FROM (SELECT DISTINCT {facts} AS facts FROM {relation})
