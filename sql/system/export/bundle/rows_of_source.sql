-- Some rows of a source as a page sees it, any, with what a feature group of the same key made of each.
SELECT {is_made} AS is_made, {columns}, {values}
FROM {source} AS source
LEFT JOIN {made} AS made ON {on}
WHERE {has_keys}
ORDER BY hash({ordered}), {ordered}
LIMIT $most
