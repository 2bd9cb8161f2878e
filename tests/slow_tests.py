"""Which tests are slow: those that took more than a second of CPU when all were last measured.

    python -m pytest -m 'not slow'    # something of every room, in under eight minutes on two cores
    python -m pytest --find-slow      # writes anew what slow_tests.txt says of the tests that it runs: all

A test is charged with what it does itself, here and in processes that it waits for, and with its share of the fixtures
of its module; those of a session are nobody's. A test that may be skipped is marked where it stands instead.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

SLOW_S = 1.0
LIST = Path(__file__).with_name("slow_tests.txt")
OWN, SHARED = "CPU of the test, in seconds", "CPU of its module's fixtures that it made, in seconds"


def mark_slow(items: Sequence[pytest.Item]) -> None:
    """Mark the tests of the list."""
    slow = set(LIST.read_text(encoding="utf-8").splitlines())
    for item in items:
        if item.nodeid in slow:
            item.add_marker(pytest.mark.slow)


def cpu_s() -> float:
    """Give what this process has used, and those that it has waited for, in seconds of all cores."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Meter:
    """Charges tests with CPU, in a process that runs them."""

    def __init__(self) -> None:
        self._charged: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Iterator[Any]:
        self._charged.clear()
        return (yield from self._own())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Iterator[Any]:
        return (yield from self._own())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[Any]:
        try:
            return (yield from self._own())
        finally:
            item.user_properties.extend((name, round(self._charged[name], 3)) for name in (OWN, SHARED))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[Any]:
        began = cpu_s()
        try:
            return (yield)
        finally:
            if fixturedef.scope != "function":
                took = cpu_s() - began
                self._charged[OWN] -= took
                self._charged[SHARED] += took if fixturedef.scope != "session" else 0

    def _own(self) -> Iterator[Any]:
        began = cpu_s()
        try:
            return (yield)
        finally:
            self._charged[OWN] += cpu_s() - began


class Finder:
    """Gathers what tests were charged with, from all processes, and writes the list."""

    def __init__(self) -> None:
        self._charged: dict[str, dict[str, float]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self._charged[report.nodeid].update({k: float(v) for k, v in report.user_properties if k in (OWN, SHARED)})

    def pytest_sessionfinish(self) -> None:
        others = set(LIST.read_text(encoding="utf-8").splitlines()) - self._charged.keys()
        slow = sorted(others | slow_of(self._charged))
        LIST.write_text("".join(f"{name}\n" for name in slow), encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        total = sum(charge for one in self._charged.values() for charge in one.values())
        slow = slow_of(self._charged)
        quick = sum(sum(one.values()) for name, one in self._charged.items() if name not in slow)
        terminalreporter.write_line(f"The tests took {total:.0f} s of CPU, {quick:.0f} of it those that are not slow.")


def slow_of(charged: Mapping[str, Mapping[str, float]]) -> set[str]:
    """Name the tests that are charged with more than `SLOW_S`."""
    fixtures: Counter[str] = Counter()
    tests = Counter(_file_of(name) for name in charged)
    for name, one in charged.items():
        fixtures[_file_of(name)] += one.get(SHARED, 0)
    share = {file: took / tests[file] for file, took in fixtures.items()}
    return {name for name, one in charged.items() if one.get(OWN, 0) + share[_file_of(name)] > SLOW_S}


def _file_of(name: str) -> str:
    return name.partition("::")[0]


def find_slow(config: pytest.Config) -> None:
    """Measure, if that is asked for."""
    if config.getoption("find_slow"):
        if "PYTEST_XDIST_WORKER" in os.environ or config.getoption("dist", "no") == "no":
            config.pluginmanager.register(Meter(), "meter-of-tests")
        if "PYTEST_XDIST_WORKER" not in os.environ:
            config.pluginmanager.register(Finder(), "finder-of-slow-tests")
