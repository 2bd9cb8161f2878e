-- One rehearsal. Parameter: its id.
SELECT rehearsal_id, known_by, begins, ends, metric, best, held_out_from, training_s, n_shared, facts_in_their_time,
    kept_in, policies, notes
FROM ledger.rehearsals
WHERE rehearsal_id = $1
