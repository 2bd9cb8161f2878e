-- How many rows of arms were written before an instant, of pages before those of the rollout that goes on.
SELECT count(*)
FROM {beside}
WHERE published_at < $before AND as_of < $kept
