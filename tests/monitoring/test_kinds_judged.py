"""Which kinds of label are judged page by page: each is either judged or named as not."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.monitoring.performance.losses import KINDS_JUDGED, losses
from warehouse.label_kinds import KINDS


def test_a_kind_without_a_loss_of_rows_has_none() -> None:
    assert set(KINDS_JUDGED) <= set(KINDS)
    for kind in set(KINDS) - set(KINDS_JUDGED):
        with pytest.raises(ValueError, match="not known row by row"):
            losses(np.ones(2), np.ones(2), kind)
