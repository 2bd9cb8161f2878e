-- The rows of a feature group, made for one page by itself, that some entity of the page is looked up by.
(
    FROM {plain} AS plain
    SEMI JOIN {wanted} AS wanted ON wanted.as_of = {as_of} AND {same_key}
)
