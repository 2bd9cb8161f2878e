"""What runs in a peer's environment: scores a Parquet file with a scikit-learn model in that tool's usual way.

    python peer_worker.py NAME ROWS MODEL OUT COLUMNS

It imports nothing of Almanac. Each line on its standard input makes it score once; it answers with a line.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BATCH_ROWS = 65_536
Once = Callable[[], None]


def load(model: str) -> Any:
    import skops.io

    return skops.io.load(model, trusted=skops.io.get_untrusted_types(file=model))


def with_pandas(rows: str, model: str, out: str, columns: list[str]) -> Once:
    import pandas

    estimator = load(model)

    def once() -> None:
        frame = pandas.read_parquet(rows)
        scores = estimator.predict_proba(frame[columns].to_numpy())[:, 1]
        pandas.DataFrame({"id": frame["id"], "score": scores}).to_parquet(out)

    return once


def with_polars(rows: str, model: str, out: str, columns: list[str]) -> Once:
    import polars

    estimator = load(model)

    def once() -> None:
        parts = []
        for frame in polars.read_parquet(rows).iter_slices(BATCH_ROWS):
            scores = estimator.predict_proba(frame.select(columns).to_numpy())[:, 1]
            parts.append(frame.select("id").with_columns(polars.Series("score", scores)))
        polars.concat(parts).write_parquet(out)

    return once


def with_mlflow(rows: str, model: str, out: str, columns: list[str]) -> Once:
    import mlflow.pyfunc
    import mlflow.sklearn
    import pandas

    saved = Path(out).with_suffix(".mlflow")
    mlflow.sklearn.save_model(load(model), str(saved), pyfunc_predict_fn="predict_proba", serialization_format="pickle")
    pyfunc = mlflow.pyfunc.load_model(str(saved))

    def once() -> None:
        frame = pandas.read_parquet(rows)
        scores = pyfunc.predict(frame[columns].to_numpy())[:, 1]
        pandas.DataFrame({"id": frame["id"], "score": scores}).to_parquet(out)

    return once


def with_daft(rows: str, model: str, out: str, columns: list[str]) -> Once:
    import daft
    import numpy

    estimator = load(model)

    @daft.func.batch(return_dtype=daft.DataType.float64())
    def score(*features: Any) -> Any:
        matrix = numpy.column_stack([feature.to_arrow().to_numpy(zero_copy_only=False) for feature in features])
        return estimator.predict_proba(matrix)[:, 1]

    def once() -> None:
        frame = daft.read_parquet(rows).into_batches(BATCH_ROWS)
        scored = frame.select(daft.col("id"), score(*(daft.col(name) for name in columns)).alias("score"))
        scored.write_parquet(out, write_mode="overwrite")

    return once


def with_spark(rows: str, model: str, out: str, columns: list[str]) -> Once:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", str(BATCH_ROWS))
        .config("spark.sql.files.maxPartitionBytes", str(max(1, Path(rows).stat().st_size // 2)))
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")

    def score(batches: Iterator[Any]) -> Iterator[Any]:
        import numpy
        import pyarrow

        estimator = load(model)
        for batch in batches:
            matrix = numpy.column_stack([batch.column(name).to_numpy(zero_copy_only=False) for name in columns])
            scores = estimator.predict_proba(matrix)[:, 1]
            yield pyarrow.RecordBatch.from_arrays([batch.column("id"), pyarrow.array(scores)], ["id", "score"])

    def once() -> None:
        frame = spark.read.parquet(rows).mapInArrow(score, "id long, score double")
        frame.write.mode("overwrite").parquet(out)

    return once


WAYS: dict[str, tuple[Callable[[str, str, str, list[str]], Once], tuple[str, ...]]] = {
    "pandas": (with_pandas, ("pandas", "scikit-learn")),
    "polars": (with_polars, ("polars", "scikit-learn")),
    "mlflow": (with_mlflow, ("mlflow", "pandas", "scikit-learn")),
    "daft": (with_daft, ("daft", "scikit-learn")),
    "spark": (with_spark, ("pyspark", "scikit-learn")),
}


def main() -> None:
    name, rows, model, out, columns = sys.argv[1:]
    way, packages = WAYS[name]
    once = way(rows, model, out, columns.split(","))
    print(
        "almanac-peer: " + ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages),
        flush=True,
    )
    for _ in sys.stdin:
        once()
        print("almanac-peer: done", flush=True)


if __name__ == "__main__":
    main()
