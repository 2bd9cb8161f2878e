-- Every row names the class that it takes for likeliest, and has a probability within [0, 1] for each; together they are 1.
SELECT *
FROM {predictions}
WHERE {score} IS NULL
    OR list_count({probabilities}) < {n_classes}
    OR NOT coalesce(list_min({probabilities}) >= 0 AND list_max({probabilities}) <= 1, FALSE)
    OR NOT coalesce(abs(list_sum({probabilities}) - 1) <= 1e-6, FALSE)
