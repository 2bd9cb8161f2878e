"""A second version of the starter's model, live from a later page on."""

from __future__ import annotations

from datetime import datetime

from jobs.suite import Suite
from jobs.training.train import train
from tests.conftest import NOW, PRODUCT
from warehouse.ledger import records as ledger
from warehouse.ledger.records import Promotion

SECOND_FROM = datetime(2026, 3, 15)


def promote(suite: Suite, version: str, effective_from: datetime) -> None:
    with suite.lake.commit("promote") as commit:
        ledger.append(commit, [Promotion(PRODUCT, version, effective_from, NOW, "tester", "it is better")])


def train_and_promote_a_second_version(suite: Suite) -> str:
    version = train(suite, PRODUCT, SECOND_FROM).model.version
    promote(suite, version, SECOND_FROM)
    return version
