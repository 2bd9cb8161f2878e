-- The keys of the objects of JSON files, as they are written.
SELECT DISTINCT unnest(json_keys(json))
FROM read_json_objects({files}{options})
