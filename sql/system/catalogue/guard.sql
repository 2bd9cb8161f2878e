-- The guard at DuckLake's list of commits: it lets in only who bears the newest number of the fence, in the commit's
-- extra info or in the connection's setting `almanac.fence` (DuckLake's own calls write no extra info), and only as the
-- snapshot that was foreseen, since the ledger's rows name it. Run by PostgreSQL.
-- The row of the writer is locked until the commit ends, so that nobody can take over in the middle of it.
-- DuckLake tries again where a message has certain words in it (conflict and the like): these have none.
CREATE OR REPLACE FUNCTION almanac.guard() RETURNS trigger LANGUAGE plpgsql AS $guard$
DECLARE
    extra jsonb;
    newest bigint;
    borne bigint;
BEGIN
    BEGIN
        extra := NEW.commit_extra_info::jsonb;
    EXCEPTION WHEN others THEN
        extra := NULL;
    END;
    borne := coalesce((extra ->> 'fence')::bigint, nullif(current_setting('almanac.fence', true), '')::bigint);
    SELECT fence INTO newest FROM almanac.writer WHERE id = 1 FOR SHARE;
    IF borne IS DISTINCT FROM newest THEN
        RAISE EXCEPTION 'almanac: refused, since another writer has the lake now (turn %, and this one has turn %)',
            newest, coalesce(borne::text, 'none');
    END IF;
    IF extra ->> 'snapshot' IS NOT NULL AND (extra ->> 'snapshot')::bigint <> NEW.snapshot_id THEN
        RAISE EXCEPTION 'almanac: refused, since this would be snapshot % and % was foreseen',
            NEW.snapshot_id, extra ->> 'snapshot';
    END IF;
    RETURN NEW;
END
$guard$;

DROP TRIGGER IF EXISTS almanac_guard ON public.ducklake_snapshot_changes;

CREATE TRIGGER almanac_guard BEFORE INSERT ON public.ducklake_snapshot_changes
FOR EACH ROW EXECUTE FUNCTION almanac.guard();
