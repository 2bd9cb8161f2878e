"""What profiles cost beside the pages that they are of, and how long one waits to be told how far two pages are apart.

    python -m tests.benchmarks.bench_profiles [--entities N] [--pages N] [--peers evidently,nannyml,whylogs]
    python -m tests.benchmarks.bench_profiles runs SUITE PRODUCT FROM TO     what profiles cost the runs of a suite

A synthetic suite with 20 features (`bench_pages_at_rate`) publishes pages of so many entities, with profiles and by a
command line that makes none (`without_profiles`), in turn: what a run takes more with them is what they cost, of runs
that make features alone, and of runs that score them too. `runs` does the same with pages of a suite that there is.
The profiles of the newest pages are then taken out of the ledger and made again by `almanac monitor --profile`, in one
pass over the published rows, and the newest page is compared with those before it (`almanac profile`, PSI and four
other distances): the first answer is to profile both pages and to compare them, the second to compare them again,
since profiles stay. Evidently, NannyML and whylogs, each in an
environment and a process of its own, read the same two pages from Parquet and compare them; they keep nothing between
two questions. Seconds are CPU seconds, which a busy machine lengthens less than those of a clock.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
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
from warehouse.system_sql import literal, quote

WORKER = Path(__file__).with_name("drift_worker.py")
#: What each tool needs in its environment. Evidently 0.7 cannot be imported with pandas 3; NannyML 0.13 does not name
#: all that it imports.
TOOLS = {
    "evidently": ["evidently", "pandas<3", "pyarrow"],
    "nannyml": ["nannyml", "pandas<3", "pyarrow", "statsmodels", "scikit-learn", "lightgbm"],
    "whylogs": ["whylogs", "pandas<3", "pyarrow"],
}


def begin(root: Path, entities: int) -> None:
    """Make a suite with a model, whose pages hold so many entities from now on."""
    write_suite(root, 200)
    # Pages are compared with the last ones, whatever their weekday.
    header = root / "sql/products" / PRODUCT / "product.yaml"
    header.write_text(header.read_text() + "monitor: {season: none}\n")
    write_entities(root, 1)
    almanac(root, "ingest")
    almanac(root, "train", PRODUCT, "--as-of", TRAINED_AS_OF.isoformat())
    write_entities(root, max(entities // DEVICES, 1))


def days_of_runs(pages: int) -> Iterator[list[datetime]]:
    """Give the instants of pages for one run after the other."""
    for run in itertools.count():
        yield [FIRST_PAGE + timedelta(days=TRAINING_PAGES + 1 + run * pages + place) for place in range(pages)]


def run_seconds(root: Path, module: str, *words: str) -> tuple[float, float]:
    """Run a command; give the CPU seconds of the runs that it recorded, and the most memory of them in MiB."""
    suite = open_suite(root, lambda: datetime(2026, 1, 1))
    counted = (
        "SELECT coalesce(sum(cpu_s), 0), max(peak_memory_bytes) FROM ledger.runs WHERE NOT list_contains($1, run_id)"
    )
    with suite.lake.reading() as connection:
        before = [row[0] for row in connection.execute("SELECT run_id FROM ledger.runs").fetchall()]
    suite.lake.close()
    command = [sys.executable, "-m", module, "--suite", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed: {done.stderr}")
    suite = open_suite(root, lambda: datetime(2026, 1, 1))
    with suite.lake.reading() as connection:
        row = connection.execute(counted, [before]).fetchone()
    suite.lake.close()
    assert row is not None
    return float(row[0]), float(row[1]) / 2**20


def cost_in_runs(
    product: str, rounds: int, prepared: Callable[[], tuple[Path, tuple[datetime, datetime]]]
) -> list[list[str]]:
    """Run the same backfills with profiles and without, in turn; give a row of figures for each kind of run.

    `prepared` gives a suite, and pages of it that are not made yet, for each run anew.
    """
    rows = []
    for name, words in (("features alone", ["--features-only"]), ("features and predictions", list[str]())):
        found: dict[str, list[tuple[float, float]]] = {"jobs": [], "tests.benchmarks.without_profiles": []}
        for number in range(rounds):
            for module in list(found)[:: 1 if number % 2 else -1]:
                root, (first, until) = prepared()
                span = ["backfill", product, "--from", first.isoformat(), "--to", until.isoformat(), *words]
                found[module].append(run_seconds(root, module, *span))
        with_them, without = (statistics.median(one[0] for one in each) for each in found.values())
        memory = [max(one[1] for one in each) for each in found.values()]
        cells = [f"{with_them:.2f}", f"{without:.2f}", f"{(with_them - without) / without:.1%}"]
        rows.append([name, *cells, *(f"{one:,.0f}" for one in memory)])
    return rows


def without_pages(source: Path, product: str, directory: Path) -> Path:
    """Copy a suite, as if no page of a product had been made."""
    root = directory / "copy"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(source, root)
    suite = open_suite(root, lambda: datetime(2026, 1, 1))
    with suite.lake.commit("pages taken out") as commit:
        for kind in ("features", "predictions"):
            commit.execute(f"DELETE FROM {kind}.{quote(product)}")
        commit.execute("DELETE FROM ledger.pages WHERE product = $1", [product])
    suite.lake.close()
    return root


COST_HEADER = ["", "CPU s with profiles", "without", "profiles cost", "peak MiB with", "without"]


def forget_profiles(suite: Suite, days: list[datetime]) -> None:
    """Take the profiles of the pages out of the ledger, as if an older version had published them."""
    with suite.lake.commit("profiles taken out") as commit:
        commit.execute("DELETE FROM ledger.profiles WHERE kind <> 'labels' AND as_of >= $1", [days[0]])


def cost_of_profiles(suite: Suite, days: list[datetime], rounds: int) -> list[float]:
    """Give the CPU seconds of profiling the pages' features and predictions, of each round."""
    found = []
    for _ in range(rounds):
        forget_profiles(suite, days)
        start = cpu_seconds()
        made = [one.made for one in monitor(suite, PRODUCT, make_profiles=True)]
        found.append(cpu_seconds() - start)
        if made[:2] != [len(days), len(days)]:
            raise SystemExit(f"{made} profiles were made, not {len(days)} each of features and predictions")
    return found


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


def measure_suite(source: Path, product: str, first: datetime, until: datetime, rounds: int) -> None:
    """Print what profiles cost the runs that make some pages of a suite."""
    with tempfile.TemporaryDirectory() as directory:

        def prepared() -> tuple[Path, tuple[datetime, datetime]]:
            return without_pages(source, product, Path(directory)), (first, until)

        print(table(COST_HEADER, cost_in_runs(product, rounds, prepared)))


def measure_synthetic(chosen: argparse.Namespace, directory: Path) -> None:
    """Print what profiles of a synthetic suite cost, and how long one waits to be told how far pages are apart."""
    root = directory / "suite"
    begin(root, chosen.entities)
    runs, last = days_of_runs(chosen.pages), list[datetime]()

    def prepared() -> tuple[Path, tuple[datetime, datetime]]:
        last[:] = next(runs)
        return root, (last[0], last[-1] + timedelta(hours=1))

    print(f"{chosen.pages} pages of {chosen.entities:,} entities with {N_FEATURES} features")
    print(table(COST_HEADER, cost_in_runs(PRODUCT, chosen.rounds, prepared)))
    suite = open_suite(root, lambda: datetime(2026, 1, 1))
    monitor(suite, PRODUCT, make_profiles=True)
    sizes = [bytes_of(suite, *one) for one in (("ledger", "profiles"), ("features", PRODUCT))]
    print(f"bytes of profiles: {sizes[0]:,}, of features: {sizes[1]:,} ({sizes[0] / max(sizes[1], 1):.2%})")
    if chosen.peers:
        compare_with_peers(suite, last, chosen.peers.split(","), chosen.rounds)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, default=1_000_000, help="of each page")
    parser.add_argument("--pages", type=int, default=2, help="at least 2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=",".join(TOOLS), help="which tools take part; empty: none")
    parser.add_argument("--directory", help="where the suite is made (default: a temporary directory)")
    parser.add_argument("runs", nargs="*", help="runs SUITE PRODUCT FROM TO: pages of a suite that there is")
    chosen = parser.parse_args(arguments)
    print(machine())
    print(versions("duckdb", "duckdb-extension-ducklake", "pyarrow", "numpy"))
    if chosen.runs:
        _, source, product, first, until = chosen.runs
        measure_suite(
            Path(source), product, datetime.fromisoformat(first), datetime.fromisoformat(until), chosen.rounds
        )
        return
    with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
        measure_synthetic(chosen, Path(directory))


if __name__ == "__main__":
    main()
