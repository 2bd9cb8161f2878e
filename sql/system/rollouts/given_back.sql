-- All rows of a page, and which of them are served where a challenger ($version, or any) serves no more: instead of its
-- own those of the live version that stand beside the page for the same entities, or lists.
CREATE OR REPLACE TEMP TABLE "almanac: page" AS
WITH served AS (
    SELECT *, arm <> $live AND ($version IS NULL OR arm = $version) AS is_out
    FROM {table}
    WHERE as_of = $page
),
beside AS (
    SELECT *, arm = $live AND ({by}) IN (SELECT ({by}) FROM served WHERE is_out) AS is_in
    FROM {beside}
    WHERE as_of = $page
)
SELECT * EXCLUDE (is_out), NOT is_out AS is_served, is_out AS changes
FROM served
UNION ALL BY NAME
SELECT * EXCLUDE (is_in), is_in AS is_served, is_in AS changes
FROM beside
