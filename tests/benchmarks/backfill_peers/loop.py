"""The loop that people write: one query a page, put into a table.

python loop.py DATABASE QUERY.sql FIRST_DAY PAGES
"""

import sys
import time
from datetime import date, timedelta
from pathlib import Path

import duckdb

AT_18 = "SELECT timezone('UTC', timezone('America/New_York', ?::DATE + INTERVAL 18 HOUR))"


def main() -> None:
    database, file, first, pages = sys.argv[1:]
    query = Path(file).read_text()
    connection = duckdb.connect(database)
    connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA made")
    days = [date.fromisoformat(first) + timedelta(days=n) for n in range(int(pages))]
    began = time.perf_counter()
    for day in days:
        as_of = connection.execute(AT_18, [day]).fetchall()[0][0]
        how = "CREATE TABLE made.features AS" if day == days[0] else "INSERT INTO made.features BY NAME"
        connection.execute(f"{how} {query}", {"as_of": as_of})
    print(f"query work {time.perf_counter() - began:.2f} s")
    connection.close()


if __name__ == "__main__":
    main()
