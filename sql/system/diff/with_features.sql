-- A page's predictions with their features, and reasons if it has any, as a relation.
(
    SELECT {scores}{reasons}, features.*
    FROM {predictions} AS predictions
    JOIN {features} AS features USING ({keys})
)
