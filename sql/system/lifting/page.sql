-- What a lifted check reads as `page`: the staged rows of its pages, each with its page where lifting looks for it.
(
    SELECT *, as_of AS "almanac: as_of"
    FROM {rows}
    WHERE as_of BETWEEN {first} AND {last}
)
