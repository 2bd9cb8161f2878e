"""What a comparison says of two versions, whichever way round a figure is better."""

from __future__ import annotations

from jobs.rollout.compare import _rows
from tests.models.test_gates import scored


def test_the_better_version_is_called_better_by_every_figure_and_the_worse_one_worse() -> None:
    good, bad = scored(0.05), scored(0.4)
    for sides, verdict in (((bad, good), "better"), ((good, bad), "worse"), ((good, good), "not told apart")):
        found = _rows(("v1", "v2"), sides, "binary", 1, "all")
        assert {row["metric"] for row in found} == {"roc_auc", "log_loss", "brier"}
        assert {row["verdict"] for row in found} == {verdict}
