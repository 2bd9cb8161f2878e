-- What Almanac keeps beside DuckLake's tables in a catalogue in PostgreSQL: whose turn it is to write, and which lake
-- this is. Run by PostgreSQL. `fence` counts the turns: each writer raises it, and a commit that bears an older number
-- is refused by the catalogue itself, however its writer came to believe that it still had the lock.
CREATE SCHEMA IF NOT EXISTS almanac;

CREATE TABLE IF NOT EXISTS almanac.writer (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    fence BIGINT NOT NULL,
    holder TEXT NOT NULL,
    taken_at TIMESTAMPTZ NOT NULL
);

INSERT INTO almanac.writer VALUES (1, 0, '', clock_timestamp()) ON CONFLICT DO NOTHING;

-- `moved_to`: where the lake was moved to, which then is written to there alone (`warehouse.lake.postgres.departures`).
-- `copied_by`: by whom a lake is being copied to here, which nobody may use before (`warehouse.lake.postgres.arrivals`).
CREATE TABLE IF NOT EXISTS almanac.lake (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    lake TEXT NOT NULL,
    made_at TIMESTAMPTZ NOT NULL,
    moved_to TEXT,
    copied_by TEXT
);

-- What was put into the lake's bucket and is not known to be committed, see `warehouse.lake.storage.staged_keys`: its
-- key below the lake, and the number of the fence of the turn of writing in which that was, if it was in one.
CREATE TABLE IF NOT EXISTS almanac.staged_keys (
    key TEXT PRIMARY KEY,
    turn BIGINT,
    staged_at TIMESTAMPTZ NOT NULL
);

-- Which processes are at work, on all hosts: each says again and again that it lives, by the server's clock. `kernel`
-- tells hosts apart. One whose time is up is gone, and does not come back.
CREATE TABLE IF NOT EXISTS almanac.owners (
    name TEXT PRIMARY KEY,
    kernel TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    command TEXT NOT NULL,
    expires TIMESTAMPTZ NOT NULL
);

-- The format of the operational state, whose tables are beside this one; 0 or no row: there are none yet.
CREATE TABLE IF NOT EXISTS almanac.state_format (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
);
