-- The rows of a delivery that need not be compared with any other.
SELECT *
FROM delivery
ANTI JOIN ambiguous ON hash({key}) = "almanac: key"
