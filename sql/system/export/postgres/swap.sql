-- Let a new table take the place of one that is there, with its owner, grants, comments and indexes. All that takes long
-- is done before the old table is locked; the lock is asked for in short attempts, so that readers do not queue behind.
DO $swap$
DECLARE
    old_table regclass := {old};
    new_table regclass := {new};
    old_name text := (SELECT relname FROM pg_class WHERE oid = {old}::regclass);
    old_owner oid := (SELECT relowner FROM pg_class WHERE oid = {old}::regclass);
    own_key text := (SELECT conname FROM pg_constraint WHERE conrelid = {old}::regclass AND contype = 'p');
    new_key text := (SELECT conname FROM pg_constraint WHERE conrelid = {new}::regclass AND contype = 'p');
    names jsonb := '[]';
    is_locked boolean := false;
    one record;
BEGIN
    IF old_owner <> (SELECT relowner FROM pg_class WHERE oid = new_table) THEN
        EXECUTE format('ALTER TABLE %s OWNER TO %s', new_table, old_owner::regrole);
    END IF;
    -- Default privileges of the schema have been applied to the new table; what stands at the old one is what counts.
    FOR one IN
        SELECT DISTINCT acl.grantee FROM pg_class, aclexplode(relacl) AS acl
        WHERE pg_class.oid = new_table AND acl.grantee <> relowner
    LOOP
        EXECUTE format(
            'REVOKE ALL ON %s FROM %s', new_table, CASE one.grantee WHEN 0 THEN 'PUBLIC' ELSE one.grantee::regrole::text END
        );
    END LOOP;
    FOR one IN
        SELECT acl.grantee, acl.is_grantable, acl.privilege_type AS what
        FROM pg_class, aclexplode(relacl) AS acl
        WHERE pg_class.oid = old_table AND acl.grantee <> relowner
        UNION ALL
        SELECT acl.grantee, acl.is_grantable, format('%s (%I)', acl.privilege_type, attname)
        FROM pg_attribute, aclexplode(attacl) AS acl
        WHERE attrelid = old_table AND NOT attisdropped
    LOOP
        EXECUTE format(
            'GRANT %s ON %s TO %s%s', one.what, new_table,
            CASE one.grantee WHEN 0 THEN 'PUBLIC' ELSE one.grantee::regrole::text END,
            CASE WHEN one.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        );
    END LOOP;
    IF obj_description(old_table, 'pg_class') IS NOT NULL THEN
        EXECUTE format('COMMENT ON TABLE %s IS %L', new_table, obj_description(old_table, 'pg_class'));
    END IF;
    FOR one IN
        SELECT attname, col_description(attrelid, attnum) AS said FROM pg_attribute
        WHERE attrelid = old_table AND attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NOT NULL
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', new_table, one.attname, one.said);
    END LOOP;
    FOR one IN
        SELECT relname, relnamespace, indexrelid, indisunique, pg_get_indexdef(indexrelid) AS made_by
        FROM pg_index INNER JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indrelid = old_table AND NOT indisprimary
    LOOP
        -- The definition begins with words that are known, up to the name of the table.
        EXECUTE format(
            'CREATE %sINDEX %I ON %s%s', CASE WHEN one.indisunique THEN 'UNIQUE ' ELSE '' END,
            'almanac_' || one.indexrelid, new_table, substr(one.made_by, length(format(
                'CREATE %sINDEX %I ON %I.%I', CASE WHEN one.indisunique THEN 'UNIQUE ' ELSE '' END, one.relname,
                (SELECT nspname FROM pg_namespace WHERE oid = one.relnamespace), old_name
            )) + 1)
        );
        names := names || jsonb_build_object('made', 'almanac_' || one.indexrelid, 'wanted', one.relname);
    END LOOP;
    PERFORM set_config('lock_timeout', '300ms', true);
    FOR attempt IN 1..{attempts} LOOP
        BEGIN
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', old_table);
            is_locked := true;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.2);
        END;
    END LOOP;
    IF NOT is_locked THEN
        RAISE EXCEPTION 'other transactions kept the table % in use; end them, or export again', old_name;
    END IF;
    EXECUTE format('DROP TABLE %s', old_table);
    EXECUTE format('ALTER TABLE %s RENAME TO %I', new_table, old_name);
    EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', new_table, new_key, coalesce(own_key, left(old_name, 58) || '_pkey'));
    FOR one IN SELECT said ->> 'made' AS made, said ->> 'wanted' AS wanted FROM jsonb_array_elements(names) AS said
    LOOP
        EXECUTE format('ALTER INDEX {schema}.%I RENAME TO %I', one.made, one.wanted);
    END LOOP;
END
$swap$
