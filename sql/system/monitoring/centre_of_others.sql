-- What the bins of a profile count from: where a column had no value yet, what its other profiles count from.
coalesce(centre, min(centre) OVER (PARTITION BY kind, column_name, segment, scale))
