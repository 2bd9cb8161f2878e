"""A plugin of pytest: what Hypothesis finds is not made small, which takes longest."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile(
    "quickly", phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate], database=None
)
hypothesis.settings.load_profile("quickly")
