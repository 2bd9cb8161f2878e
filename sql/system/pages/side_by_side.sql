-- Features and predictions of the staged pages, as checks see them; of ranked lists what is listed.
(
    SELECT features.*, {scores}, predictions.model_version
    FROM {features} AS features
    {kind} {predictions} AS predictions USING (as_of, {keys})
)
