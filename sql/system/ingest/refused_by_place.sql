-- Refused rows with their reasons, each row from one row of the file, in its order.
CREATE OR REPLACE TEMP TABLE {refused} AS
SELECT refused.*, "almanac: reason"
FROM {refused} AS refused
POSITIONAL JOIN (SELECT "almanac: reason" FROM {rows}) AS reasons
