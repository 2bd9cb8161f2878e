-- Features and predictions of the staged pages, as checks see them.
(
    SELECT features.*, {scores}, predictions.model_version
    FROM {features} AS features
    LEFT JOIN {predictions} AS predictions USING (as_of, {keys})
)
