-- The rows of one lifted query for its pages; the page is its last column.
INSERT INTO {target} ({columns}, "almanac: as_of")
{query}
