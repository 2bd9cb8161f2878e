-- Refused rows of which the SELECT left some out, or made several: with the first of their reasons.
CREATE OR REPLACE TEMP TABLE {refused} AS
SELECT *, (SELECT min("almanac: reason") || ' (or alike)' FROM {rows}) AS "almanac: reason"
FROM {refused}
