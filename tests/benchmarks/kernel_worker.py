"""What runs in the environment of a compiler of trees: it predicts a matrix with one LightGBM model.

    python kernel_worker.py NAME MODEL ROWS OUT

MODEL is LightGBM's text, ROWS a `.npy` of float64, OUT what is predicted, as `.npy`. It imports nothing of Almanac.
Each line on its standard input makes it predict once; it answers with the seconds and the CPU seconds that this took.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
Predict = Callable[[], Any]


def with_lleaves(model: str, rows: Any) -> Predict:
    import lleaves

    compiled = lleaves.Model(model_file=model)
    compiled.compile(cache=str(Path(model).with_suffix(".lleaves")))
    return lambda: compiled.predict(rows, n_jobs=THREADS)


def with_onnx(model: str, rows: Any) -> Predict:
    import lightgbm
    import onnxruntime
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster = lightgbm.Booster(model_file=model)
    kinds = [("rows", FloatTensorType([None, rows.shape[1]]))]
    converted = convert_lightgbm(booster, initial_types=kinds, zipmap=False, target_opset=15)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(converted.SerializeToString(), options)
    narrow = rows.astype(np.float32)
    return lambda: session.run(None, {"rows": narrow})[1][:, 1]


def with_daal4py(model: str, rows: Any) -> Predict:
    import daal4py
    import lightgbm

    converted = daal4py.mb.convert_model(lightgbm.Booster(model_file=model))
    daal4py.daalinit(THREADS)
    return lambda: converted.predict_proba(rows)[:, 1]


WAYS: dict[str, tuple[Callable[[str, Any], Predict], tuple[str, ...]]] = {
    "lleaves": (with_lleaves, ("lleaves", "llvmlite")),
    "ONNX Runtime": (with_onnx, ("onnxruntime", "onnxmltools")),
    "daal4py": (with_daal4py, ("scikit-learn-intelex",)),
}


def main(name: str, model: str, rows: str, out: str) -> None:
    way, packages = WAYS[name]
    predict = way(model, np.load(rows))
    np.save(out, np.asarray(predict(), dtype=np.float64).ravel())
    print(
        "almanac-peer: " + ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages),
        flush=True,
    )
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        predict()
        print(f"almanac-peer: {time.perf_counter() - start} {time.process_time() - cpu}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
