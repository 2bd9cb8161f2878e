-- What a product's own checks see as `page`: its staged features and predictions side by side.
CREATE OR REPLACE VIEW {view} AS
SELECT *
FROM {rows}
WHERE as_of = {as_of}
