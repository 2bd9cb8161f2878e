-- The rows of a delivery but for those of persons that were erased: HMAC-SHA-256 (RFC 2104) of what names the person.
-- Parameters: the tombstones; the key, padded and combined with the inner and with the outer constant.
CREATE OR REPLACE TEMP TABLE {kept} AS
FROM {rows}
WHERE
    {column} IS NULL
    OR NOT list_contains(
        $tombstones,
        sha256($outer || unhex(sha256($inner || encode({scope} || chr(31) || CAST({column} AS VARCHAR)))))
    )
