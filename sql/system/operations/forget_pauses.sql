-- Forget the pauses that ended before an instant. Parameter: the instant.
DELETE FROM pauses
WHERE resumed_at < :before
