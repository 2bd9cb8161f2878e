"""What the processes of a service counted is added up: by status, by bucket, in seconds."""

from __future__ import annotations

from pathlib import Path

from jobs.web.counts import Counts, prometheus_text


def test_counts_are_those_of_all_processes_of_the_service(tmp_path: Path) -> None:
    ours, theirs = Counts(tmp_path), Counts(tmp_path)
    theirs._file = tmp_path / "1.json"
    ours.request("shop", 200, 0.0002)
    ours.keys("shop", "page", 3)
    for status, seconds in ((200, 2.0), (404, 0.00005), (200, 0.0001)):
        theirs.request("shop", status, seconds)
    theirs.keys("shop", "page", 4)
    theirs.logged(5, 6)
    theirs.save(2)
    lines = [line for line in prometheus_text(ours, [], tmp_path).splitlines() if not line.startswith("#")]
    said = dict(line.rsplit(" ", 1) for line in lines)
    assert {name: said[name] for name in said if name.startswith(("almanac_requests", "almanac_keys"))} == {
        'almanac_requests_total{product="shop",status="200"}': "3",
        'almanac_requests_total{product="shop",status="404"}': "1",
        'almanac_keys_total{product="shop",made="page"}': "7",
    }
    assert said["almanac_switches_total"] == "2"
    assert (said["almanac_logged_requests_total"], said["almanac_dropped_requests_total"]) == ("5", "6")
    bounds = ("0.0001", "0.00025", "1.0", "+Inf")
    assert [said[f'almanac_request_seconds_bucket{{le="{bound}"}}'] for bound in bounds] == ["2", "3", "3", "4"]
    assert (said["almanac_request_seconds_sum"], said["almanac_request_seconds_count"]) == ("2.000350", "4")
