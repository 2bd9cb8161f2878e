-- Forget rows of arms that were written before an instant, of pages before those of the rollout that goes on.
DELETE FROM {beside}
WHERE published_at < $before AND as_of < $kept
