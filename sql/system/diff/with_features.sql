-- A page's predictions with their features, as a relation.
(
    SELECT predictions.{score}, features.*
    FROM {predictions} AS predictions
    JOIN {features} AS features USING ({keys})
)
