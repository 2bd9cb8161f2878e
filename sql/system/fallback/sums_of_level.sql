SELECT {product} AS product, {page} AS as_of, {names} AS columns, {group_values} AS group_values,
    count(*) AS n_rows, {sums}::MAP(VARCHAR, DOUBLE) AS sums, count(DISTINCT as_of) AS n_pages,
    min(as_of) AS first_page, max(as_of) AS last_page
FROM labelled
{known}
{by}
HAVING count(*) > 0
