-- What hangs on a table and would go with it: all but its own indexes, row types, primary key and NOT NULLs. A view, a
-- foreign key of another table, a trigger, a policy, a default, or whatever else PostgreSQL may come to know.
SELECT DISTINCT pg_describe_object(depends.classid, depends.objid, depends.objsubid) AS described
FROM pg_depend AS depends
INNER JOIN pg_class AS tables ON tables.oid = {oid}
LEFT JOIN pg_type AS arrays ON arrays.typelem = tables.reltype AND arrays.typcategory = 'A'
WHERE
    (
        (depends.refclassid = 'pg_class'::regclass AND depends.refobjid = tables.oid)
        OR (depends.refclassid = 'pg_type'::regclass AND depends.refobjid IN (tables.reltype, arrays.oid))
        OR (depends.refclassid = 'pg_constraint'::regclass AND depends.refobjid IN (
            SELECT oid FROM pg_constraint WHERE conrelid = tables.oid
        ) AND depends.classid = 'pg_rewrite'::regclass)
    )
    AND NOT (
        depends.classid = 'pg_class'::regclass
        AND (
            depends.objid = tables.reltoastrelid
            OR depends.objid IN (SELECT indexrelid FROM pg_index WHERE indrelid = tables.oid)
        )
    )
    AND NOT (depends.classid = 'pg_type'::regclass AND depends.objid IN (tables.reltype, arrays.oid))
    AND NOT (
        depends.classid = 'pg_constraint'::regclass
        AND depends.objid IN (SELECT oid FROM pg_constraint WHERE conrelid = tables.oid AND contype IN ('p', 'n'))
    )
ORDER BY described
