"""What profiles cost beside the pages that they are of, and how long one waits to be told how far two pages are apart.

    python -m tests.benchmarks.bench_profiles [--entities N] [--pages N] [--peers evidently,nannyml,whylogs]

A synthetic suite with 20 features (`bench_pages_at_rate`) publishes pages of so many entities. Their profiles are
then taken out of the ledger and made again by `almanac monitor --profile`, in one pass over the published rows: what
that takes, beside what the run that made the pages took, is the cost of profiles. The newest page is then compared
with the one before it (`almanac profile`, PSI and four other distances): the first answer is to profile both and to
compare them, the second to compare them again, since profiles stay. Evidently, NannyML and whylogs, each in an
environment and a process of its own, read the same two pages from Parquet and compare them; they keep nothing between
two questions. Seconds are CPU seconds, which a busy machine lengthens less than those of a clock.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from jobs.metering import cpu_seconds
from jobs.monitoring.profile import compare_page, monitor
from jobs.suite import Suite, open_suite
from tests.benchmarks.bench_pages_at_rate import (
    DEVICES,
    FIRST_PAGE,
    N_FEATURES,
    NAMES,
    PRODUCT,
    TRAINED_AS_OF,
    TRAINING_PAGES,
    almanac,
    write_entities,
    write_suite,
)
from tests.benchmarks.peers import PeerMissing, environment, start_worker
from tests.benchmarks.timing import machine, table, versions
from warehouse.system_sql import literal

WORKER = Path(__file__).with_name("drift_worker.py")
#: What each tool needs in its environment. Evidently 0.7 cannot be imported with pandas 3; NannyML 0.13 does not name
#: all that it imports.
TOOLS = {
    "evidently": ["evidently", "pandas<3", "pyarrow"],
    "nannyml": ["nannyml", "pandas<3", "pyarrow", "statsmodels", "scikit-learn", "lightgbm"],
    "whylogs": ["whylogs", "pandas<3", "pyarrow"],
}


def publish(root: Path, entities: int, pages: int) -> list[datetime]:
    """Make a suite and publish pages of it; give their instants."""
    write_suite(root, 200)
    write_entities(root, 1)
    almanac(root, "ingest")
    almanac(root, "train", PRODUCT, "--as-of", TRAINED_AS_OF.isoformat())
    write_entities(root, max(entities // DEVICES, 1))
    days = [FIRST_PAGE + timedelta(days=TRAINING_PAGES + 1 + place) for place in range(pages)]
    until = days[-1] + timedelta(hours=1)
    almanac(root, "backfill", PRODUCT, "--from", days[0].isoformat(), "--to", until.isoformat())
    return days


def forget_profiles(suite: Suite, days: list[datetime]) -> None:
    """Take the profiles of the pages out of the ledger, as if an older version had published them."""
    with suite.lake.commit("profiles taken out") as commit:
        commit.execute("DELETE FROM ledger.profiles WHERE as_of >= $1", [days[0]])


def cost_of_profiles(suite: Suite, days: list[datetime], rounds: int) -> list[float]:
    """Give the CPU seconds of profiling the pages' features and predictions, of each round."""
    found = []
    for _ in range(rounds):
        forget_profiles(suite, days)
        start = cpu_seconds()
        made = [one.made for one in monitor(suite, PRODUCT, make_profiles=True)]
        found.append(cpu_seconds() - start)
        if made != [len(days), len(days)]:
            raise SystemExit(f"{made} profiles were made, not {len(days)} each of features and predictions")
    return found


def cost_of_pages(suite: Suite) -> float:
    """Give the CPU seconds of making the pages, their features among them."""
    with suite.lake.reading() as connection:
        row = connection.execute("SELECT sum(cpu_s) FROM ledger.runs WHERE job = 'predict'").fetchone()
    assert row is not None
    return float(row[0])


def seconds_to_compare(suite: Suite, page: datetime, rounds: int) -> list[float]:
    """Give the CPU seconds of comparing a page with those before it, of each round."""
    found = []
    for _ in range(rounds):
        start = cpu_seconds()
        compared = [column for one in compare_page(suite, PRODUCT, page) for column in one.columns]
        found.append(cpu_seconds() - start)
        if sum(column.psi is not None for column in compared) < N_FEATURES:
            raise SystemExit("not every feature has a PSI")
    return found


def write_frames(suite: Suite, days: list[datetime], directory: Path) -> list[str]:
    """Write the features of the last two pages as Parquet; give the files, the older first."""
    files = []
    with suite.lake.reading(all_cores=True) as connection:
        for day in days[-2:]:
            files.append(str(directory / f"{day:%Y%m%d}.parquet"))
            query = f"SELECT {', '.join(NAMES)} FROM features.{PRODUCT} WHERE as_of = {literal(str(day))}"
            connection.execute(f"COPY ({query}) TO {literal(files[-1])} (FORMAT parquet)")
    return files


def peer_seconds(name: str, files: list[str], rounds: int) -> tuple[str, list[float], list[float]]:
    """Give a tool's version, and the CPU and wall seconds of each round after a first one.

    Raises
    ------
    PeerMissing
        If it cannot be installed or started, or fails.
    """
    python = environment(name, TOOLS[name])
    with tempfile.TemporaryDirectory() as directory:
        peer = start_worker(name, python, WORKER, files, Path(directory) / "said.txt")
        try:
            told = [[float(value) for value in peer.run().split()[:2]] for _ in range(rounds + 1)][1:]
        finally:
            peer.close()
    return peer.versions, [one[0] for one in told], [one[1] for one in told]


def compare_with_peers(suite: Suite, days: list[datetime], peers: list[str], rounds: int) -> None:
    """Print how long one waits for the first and for the second answer on two pages, here and elsewhere."""
    two = days[-2:]
    first = cost_of_profiles(suite, two, rounds)
    second = seconds_to_compare(suite, two[-1], rounds + 1)[1:]
    ours = [statistics.median(first) + statistics.median(second), statistics.median(second)]
    rows = [["Almanac", f"{ours[0]:.2f}", f"{ours[1]:.4f}", "", "", "PSI and four more"]]
    with tempfile.TemporaryDirectory() as directory:
        files = write_frames(suite, days, Path(directory))
        for name in peers:
            try:
                version, cpu, wall = peer_seconds(name, files, rounds)
            except PeerMissing as error:
                rows.append([name, "", "", "", "", f"left out: {error}"])
                continue
            took = statistics.median(cpu)
            times = [f"{took / one:,.0f}" for one in ours]
            rows.append(
                [version, f"{took:.2f}", f"{took:.2f}", *times, f"{statistics.median(wall):.1f} s by the clock"]
            )
    header = ["two pages compared", "first answer, CPU s", "second, CPU s", "times ours", "times ours (second)", ""]
    print("\n" + table(header, rows))


def bytes_of(suite: Suite, schema: str, name: str) -> int:
    """Give the bytes of a table's files that the newest snapshot shows."""
    with suite.lake.reading() as connection:
        row = connection.execute(
            "SELECT coalesce(sum(data_file_size_bytes), 0) FROM ducklake_list_files('lake', $1, schema => $2)",
            [name, schema],
        ).fetchone()
    assert row is not None
    return int(row[0])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, default=1_000_000, help="of each page")
    parser.add_argument("--pages", type=int, default=2, help="at least 2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=",".join(TOOLS), help="which tools take part; empty: none")
    parser.add_argument("--directory", help="where the suite is made (default: a temporary directory)")
    chosen = parser.parse_args(arguments)
    print(machine())
    print(versions("duckdb", "duckdb-extension-ducklake", "pyarrow", "numpy"))
    with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
        root = Path(directory) / "suite"
        begin = time.perf_counter()
        days = publish(root, chosen.entities, chosen.pages)
        print(f"{chosen.pages} pages of {chosen.entities:,} entities published in {time.perf_counter() - begin:.0f} s")
        suite = open_suite(root, lambda: datetime(2026, 1, 1))
        pages, profiles = cost_of_pages(suite), statistics.median(cost_of_profiles(suite, days, chosen.rounds))
        n_values = chosen.pages * chosen.entities * (N_FEATURES + 2)
        made = pages - profiles
        print(
            f"CPU s of the run that made them: {pages:.1f}, of their profiles alone: {profiles:.1f}, that is"
            f" {profiles / made:.1%} of the rest; {n_values / profiles / 1e6:.1f} million values a CPU second."
        )
        sizes = [bytes_of(suite, *one) for one in (("ledger", "profiles"), ("features", PRODUCT))]
        print(f"bytes of profiles: {sizes[0]:,}, of features: {sizes[1]:,} ({sizes[0] / max(sizes[1], 1):.2%})")
        compare_with_peers(suite, days, [name for name in chosen.peers.split(",") if name], chosen.rounds)


if __name__ == "__main__":
    main()
