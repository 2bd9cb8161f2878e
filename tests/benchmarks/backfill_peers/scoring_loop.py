"""What people write: for each day, its features out of DuckDB into pandas, `predict_proba`, and an INSERT.

scoring_loop.py DATABASE MODEL: `features` is read, `predictions` is made; MODEL is a pickle of an estimator and the
names of its features.
"""

import pickle
import sys
from pathlib import Path

import duckdb

KEYS = "flight_date, carrier, flight, origin, as_of"


def main() -> None:
    estimator, names = pickle.loads(Path(sys.argv[2]).read_bytes())  # noqa: S301 our own, written a moment ago
    with duckdb.connect(sys.argv[1]) as connection:
        empty = f"SELECT {KEYS}, 0.5::DOUBLE AS p FROM features LIMIT 0"
        connection.execute(f"CREATE OR REPLACE TABLE predictions AS {empty}")
        days = connection.execute("SELECT DISTINCT as_of FROM features ORDER BY as_of").fetchall()
        for (as_of,) in days:
            page = connection.execute("SELECT * FROM features WHERE as_of = $1", [as_of]).df()
            # scikit-learn takes no pandas.NA, and to its encoders the NaN of a missing text is another category than
            # the None that the model was trained with.
            whole = [name for name in names if str(page[name].dtype).startswith("Int")]
            page[whole] = page[whole].astype("float64")
            for name in [name for name in names if page[name].dtype in ("object", "str")]:
                page[name] = page[name].astype(object).where(page[name].notna(), None)
            page["p"] = estimator.predict_proba(page[names])[:, 1]
            connection.register("page", page)
            connection.execute(f"INSERT INTO predictions SELECT {KEYS}, p FROM page")


if __name__ == "__main__":
    main()
