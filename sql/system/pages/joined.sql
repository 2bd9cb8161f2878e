-- The feature pages of a batch: every entity of every page, with the features that were known of its keys.
SELECT {keys}, entities."almanac: as_of" AS as_of, {valid_until} AS valid_until, {columns}
FROM {entities} AS entities
{joins}
{where}
{order}
