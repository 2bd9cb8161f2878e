-- What a server has noted of the values of the lake's tables, each beside the name of its column. Run by PostgreSQL.
SELECT noted.attname || ': ' || noted_value AS noted
FROM pg_stats AS noted
CROSS JOIN LATERAL (
    SELECT unnest(coalesce(noted.most_common_vals::text::text[], '{}') || coalesce(noted.histogram_bounds::text::text[], '{}'))
) AS each (noted_value)
WHERE noted.schemaname IN ('public', 'almanac')
