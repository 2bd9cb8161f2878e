"""Random rows, and small models fitted to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.scoring import estimator_input


def random_rows(
    n_rows: int,
    n_numbers: int,
    n_texts: int = 0,
    *,
    seed: int = 0,
    missing: float = 0.1,
    float32: bool = False,
) -> pa.Table:
    """Return a table of numbers x0, x1, ... and texts t0, t1, ..., some of them null or NaN."""
    rng = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {}
    for place in range(n_numbers):
        values = rng.normal(size=n_rows).round(place % 3 + 1)
        values = values.astype(np.float32) if float32 else values
        values[rng.random(n_rows) < missing / 2] = np.nan
        columns[f"x{place}"] = pa.array(values, mask=rng.random(n_rows) < missing / 2)
    words = np.array(["oak", "ash", "elm", "yew", "fir", "bay", "ivy"])
    for place in range(n_texts):
        chosen = words[rng.integers(0, len(words) - place % 3, n_rows)]
        columns[f"t{place}"] = pa.array(chosen, mask=rng.random(n_rows) < missing)
    return pa.table(columns)


def outcome(rows: pa.Table, *, seed: int = 0, classes: int = 2) -> Any:
    """Return a label (n_rows,) that depends on the rows: classes 0, 1, ..., or a number for classes=0."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=rows.num_rows)
    for name in rows.column_names:
        column = rows.column(name).combine_chunks()
        if not pa.types.is_string(column.type):
            score = score + np.nan_to_num(np.asarray(column.fill_null(0)), nan=0.5)
        else:
            score = score + np.array([len(value or "") + (value == "oak") for value in column.to_pylist()])
    if classes == 0:
        return score
    return np.digitize(score, np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]))


def almanac_pipeline(rows: pa.Table, model: Any, unknown_value: float = -1) -> Any:
    """Return the pipeline that training makes: text encoded, numbers passed through, then the model."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    texts = [name for name in rows.column_names if pa.types.is_string(rows.schema.field(name).type)]
    numbers = [name for name in rows.column_names if name not in texts]
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=unknown_value, encoded_missing_value=np.nan
    )
    parts = ColumnTransformer([("categories", encoder, texts), ("numbers", "passthrough", numbers)])
    return Pipeline([("encode", parts), ("model", model)])


def fitted(model: Any, rows: pa.Table, label: Any) -> Any:
    """Fit a model to rows as training does; one that ranks is told that they are three lists."""
    lists = {"group": [rows.num_rows // 3] * 3} if type(model).__name__.endswith("Ranker") else {}
    return model.fit(estimator_input(rows, rows.column_names), label, **lists)


def load(path: Path) -> Any:
    """Load an estimator from a skops file, as a process that scores beside this one does."""
    from skops.io import get_untrusted_types
    from skops.io import load as load_skops

    return load_skops(path, trusted=get_untrusted_types(file=path))
