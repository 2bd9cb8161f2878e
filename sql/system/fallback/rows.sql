SELECT {place} AS place, {level} AS level, {names} AS columns, {groups}{newest} AS as_of, valid_until,
    {predicted}, n_rows, model_version, run_id, published_at, hindsight
FROM {mean}
