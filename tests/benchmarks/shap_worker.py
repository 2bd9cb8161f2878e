"""What runs in the environment of shap: contributions of a scikit-learn model by `TreeExplainer`.

    python shap_worker.py shap MODEL ROWS OUT

It imports nothing of Almanac. Each line on its standard input makes it explain the rows once; it answers with the CPU
seconds that this took, and has written the contributions (n_rows, n_features) to OUT.
"""

from __future__ import annotations

import sys
import time

import numpy as np


def main(name: str, model: str, rows: str, out: str) -> None:
    import shap
    import skops.io

    estimator = skops.io.load(model, trusted=skops.io.get_untrusted_types(file=model))
    data = np.load(rows)
    explainer = shap.TreeExplainer(estimator)
    print(f"almanac-peer: {name} {shap.__version__}", flush=True)
    for _ in sys.stdin:
        begin = time.process_time()
        values = explainer.shap_values(data, check_additivity=False)
        seconds = time.process_time() - begin
        values = np.asarray(values)
        np.save(out, values[..., 1] if values.ndim == 3 else values)
        print(f"almanac-peer: {seconds}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
