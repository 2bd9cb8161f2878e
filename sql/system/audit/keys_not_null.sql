-- The parts of an entity's key are all known; a NULL cannot be looked up.
SELECT *
FROM {predictions}
WHERE {key_is_null}
