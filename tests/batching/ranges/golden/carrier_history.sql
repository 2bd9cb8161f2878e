-- Windows of several lengths, quantiles beside sums.
SELECT
    carrier,
    count(*) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS landings_7d,
    avg(arrival_delay) AS delay_28d,
    quantile_disc(arrival_delay, 0.9) AS delay_p90_28d,
    count(*) FILTER (WHERE arrival_delay >= 30) / count(*) AS late_share_28d
FROM landings
WHERE known_at >= $as_of - INTERVAL 28 DAY
GROUP BY carrier
