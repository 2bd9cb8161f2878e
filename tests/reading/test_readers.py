"""Applications: README's recipe, run as it stands, while a job is writing."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

from jobs.pages.predict import run_page
from jobs.suite import Suite
from tests.conftest import PAGE, PRODUCT
from tests.lakes_in_postgres import recipe_of

README = Path(__file__).parents[2] / "README.md"


def recipe() -> str:
    """Find README's recipe for readers, for the starter's product instead of the flights'."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (block,) = [block for block in blocks if "ATTACH" in block]
    where = "WHERE carrier = 'B6' AND flight = 1185"
    assert where in block
    return str(block).replace("flight_delay_current", "late_order_current").replace(where, "")


def test_the_recipe_in_readme_works_verbatim_in_another_process(trained: Suite) -> None:
    made = run_page(trained, PRODUCT, PAGE)
    script = recipe_of(trained.lake.root, recipe()) + "\nprint(len(rows))\n"
    done = subprocess.run([sys.executable, "-c", script], cwd=trained.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) == made.n_rows


def test_a_reader_is_never_blocked_and_never_sees_part_of_a_page(trained: Suite) -> None:
    """Another process reads as fast as it can while pages are published and replaced."""
    pages = [PAGE + timedelta(days=day) for day in range(3)]
    sizes = {page: run_page(trained, PRODUCT, page).n_rows for page in pages[:1]}
    query = 'db.execute("SELECT as_of, count(*) FROM almanac.predictions.late_order GROUP BY 1").fetchall()'
    script = (
        recipe_of(trained.lake.root, recipe())
        + f"\ndb.execute('SET threads = 1')\nprint('ready', flush=True)\nwhile True:\n    print({query}, flush=True)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=trained.root, stdout=subprocess.PIPE, text=True) as reader:
        lines: list[str] = []
        collector = threading.Thread(target=lambda: lines.extend(reader.stdout or []))
        collector.start()
        for page in [*pages[1:], *pages, *pages]:
            sizes[page] = run_page(trained, PRODUCT, page).n_rows
        still_reading = reader.poll() is None
        reader.kill()
        collector.join()
    assert still_reading
    seen = [(stamp, int(count)) for line in lines for stamp, count in re.findall(r"datetime\((.*?)\), (\d+)", line)]
    assert len(lines) > 20
    allowed = {page.strftime("%Y, %-m, %-d, %-H, %-M"): size for page, size in sizes.items()}
    stray = [(stamp, count) for stamp, count in seen if allowed.get(re.sub(r"datetime\.", "", stamp)) != count]
    assert not stray
