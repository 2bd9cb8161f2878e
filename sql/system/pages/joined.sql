-- The feature pages of a batch: every entity of every page, with the features that were known of its keys.
SELECT {keys}, {times}{columns}
FROM {entities} AS entities
{joins}
{where}
{order}
