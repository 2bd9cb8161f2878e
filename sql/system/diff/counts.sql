-- How many entities of a page stayed, changed, came and went, and by how much those that changed did so.
SELECT
    count(*) FILTER ("almanac: what" = 'same'),
    count(*) FILTER ("almanac: what" = 'changed'),
    count(*) FILTER ("almanac: what" = 'came'),
    count(*) FILTER ("almanac: what" = 'went'),
    max(abs("almanac: change")) FILTER ("almanac: what" = 'changed'),
    avg(abs("almanac: change")) FILTER ("almanac: what" = 'changed')
FROM {compared}
