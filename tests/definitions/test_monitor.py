"""The key `monitor` of product.yaml: what is read, and what is refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.conftest import PRODUCT
from warehouse.definitions.suite import load_definitions
from warehouse.errors import DefinitionError

HOLIDAYS = "Independence Day: 2026-07-04\nChristmas: [2026-12-25, 2026-12-26]\n"


def with_monitor(root: Path, text: str) -> Path:
    path = root / f"sql/products/{PRODUCT}/product.yaml"
    path.write_text(path.read_text() + "\n" + text)
    return path


def test_a_product_is_watched_by_default(starter: Path) -> None:
    settings = load_definitions(starter).product(PRODUCT).header.monitor
    assert (settings.season, settings.days_per_false_alarm) == ("week", 365.25)
    assert settings.notify == ["drift", "performance", "acute"]


def test_days_of_a_calendar_are_expected_with_those_before_and_after(starter: Path) -> None:
    path = with_monitor(
        starter, "monitor: {season: month(as_of), false_alarms: 2 a month, calendar: holidays.yaml, notify: [acute]}"
    )
    with pytest.raises(DefinitionError, match=r"holidays.yaml, which `monitor.calendar` names, does not exist"):
        load_definitions(starter)
    path.with_name("holidays.yaml").write_text(HOLIDAYS)
    product = load_definitions(starter).product(PRODUCT)
    found = [product.calendar.expects(date(2026, 12, day)) for day in (23, 24, 25, 26, 27, 28)]
    assert found == [None, *["Christmas"] * 4, None]
    assert product.calendar.expects(date(2026, 7, 3)) == "Independence Day"
    path.with_name("holidays.yaml").write_text("- 2026-07-04\n- 2026-13-01\n")
    with pytest.raises(DefinitionError, match="expected dates such as 2013-07-04"):
        load_definitions(starter)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("season: fortnight", "`fortnight` is neither week, none, hour of week nor SQL over as_of"),
        ("season: random() * 7", "random"),
        ("season: no_such_column", 'no_such_column" not found'),
        ("false_alarms: seldom", "`seldom` is no rate above zero"),
        ("false_alarms: 0 a year", "`0 a year` is no rate above zero"),
        ("calendar: ../holidays.yaml", "is no YAML file beside product.yaml"),
        ("notify: [everything]", "monitor.notify"),
        ("hold: [{column: parcels}]", "a `column` has bounds of"),
        ("hold: [{missing: {at_most: 0.1}}]", "give `rows` alone, or a `column`"),
        ("sesaon: week", "sesaon"),
    ],
)
def test_a_mistake_is_told(starter: Path, text: str, said: str) -> None:
    with_monitor(starter, f"monitor:\n  {text.partition(':')[0]}: {text.partition(': ')[2]}\n")
    with pytest.raises(DefinitionError) as caught:
        load_definitions(starter)
    assert said in str(caught.value)
