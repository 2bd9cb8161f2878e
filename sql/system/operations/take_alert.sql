-- Take an alert to send it; nobody else does so before `again`, by when it has been sent or failed.
UPDATE alerts
SET tries = tries + 1, next_try = :again
WHERE what = :what AND state = 'raised' AND (next_try IS NULL OR next_try <= :now OR next_try > :long_after)
