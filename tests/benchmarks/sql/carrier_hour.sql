-- The baseline: for each carrier and scheduled hour, the share of late arrivals in the training period, against the
-- base rate of that period for all. Parameters: the label cut-off, and the pages' range.
WITH training AS (
    SELECT carrier, local_hour, avg((arrival_delay >= 30)::INTEGER) AS share
    FROM sources.landings
    WHERE outcome = 'landed' AND known_at < $cutoff
    GROUP BY carrier, local_hour
),
everything AS (
    SELECT avg((arrival_delay >= 30)::INTEGER) AS share
    FROM sources.landings
    WHERE outcome = 'landed' AND known_at < $cutoff
)
SELECT
    outcomes.label::DOUBLE AS label,
    outcomes.probability,
    coalesce(training.share, everything.share) AS carrier_hour,
    everything.share AS base_rate
FROM predictions.flight_delay_outcomes AS outcomes
JOIN sources.schedule AS schedule USING (flight_date, carrier, flight, origin)
CROSS JOIN everything
LEFT JOIN training ON training.carrier = schedule.carrier AND training.local_hour = schedule.local_hour
WHERE outcomes.as_of >= $first AND outcomes.as_of < $until AND NOT outcomes.hindsight
