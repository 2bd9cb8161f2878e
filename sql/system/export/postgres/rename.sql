-- Give the first table of a target its name, and its key the name that goes with it.
ALTER TABLE {place} RENAME TO {table};
DO $rename$
BEGIN
    EXECUTE format(
        'ALTER TABLE %s RENAME CONSTRAINT %I TO %I', {new}::regclass,
        (SELECT conname FROM pg_constraint WHERE conrelid = {new}::regclass AND contype = 'p'), left({wanted}, 58) || '_pkey'
    );
END
$rename$
