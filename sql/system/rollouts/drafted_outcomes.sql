-- What came of the entries of drafted lists, in the order of lists and places; nothing known of it is 0.
SELECT
    drafted."almanac: list" AS list,
    drafted."almanac: place" AS place,
    drafted."almanac: team" AS team,
    coalesce(outcomes.outcome, 0)::DOUBLE AS outcome
FROM {drafted} AS drafted
LEFT JOIN {outcomes} AS outcomes USING ({keys})
ORDER BY list, place
