-- What came of each row that a page's arms have served, less than nothing being best, as with losses; nothing known of it is 0.
-- {unit} is the row, or of a ranking its list. The covariate is the live version's score of the row, served or not.
SELECT served.arm, -sum(coalesce(outcomes.outcome, 0)) AS loss, coalesce(avg(live.score), 0) AS covariate
FROM predictions.{table} AS served
LEFT JOIN {outcomes} AS outcomes USING ({keys})
LEFT JOIN (
    SELECT {keys}, {score} AS score FROM predictions.{table} WHERE as_of = {page} AND arm = {live}
    UNION ALL
    SELECT {keys}, {score} FROM predictions.{beside} WHERE as_of = {page} AND arm = {live}
) AS live USING ({keys})
WHERE served.as_of = {page} AND served.arm IS NOT NULL AND NOT served.hindsight
GROUP BY served.arm, {unit}
ORDER BY served.arm, {unit}
