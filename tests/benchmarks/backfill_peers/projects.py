"""Projects of dbt-duckdb (a microbatch model) and of SQLMesh (an incremental model), one batch a day."""

from __future__ import annotations

from pathlib import Path

#: The instant of a page: 18:00 in New York of the batch's day.
DAY_AT_18 = "timezone('UTC', timezone('America/New_York', {day}::DATE + INTERVAL 18 HOUR))"
DBT_AS_OF = DAY_AT_18.format(
    day="'{{ (model.batch.event_time_start if model.batch else modules.datetime.datetime(2013, 1, 8)).date() }}'"
)
SQLMESH_AS_OF = DAY_AT_18.format(day="@start_ds")


def make_dbt(directory: Path, database: Path, query: str, first_day: str) -> None:
    """Write a dbt project with one microbatch model."""
    (directory / "models").mkdir(parents=True)
    (directory / "dbt_project.yml").write_text(
        "name: flights\nversion: '1.0.0'\nprofile: flights\nmodel-paths: [models]\n"
        "flags: {send_anonymous_usage_stats: false}\n"
    )
    (directory / "profiles.yml").write_text(
        "flights:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      threads: 2\n"
        f"      path: '{database}'\n      settings: {{TimeZone: UTC}}\n"
    )
    config = (
        "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='as_of',"
        f" batch_size='day', lookback=0, begin='{first_day}') }}}}\n"
    )
    (directory / "models" / "features.sql").write_text(config + query + "\n")


def make_sqlmesh(directory: Path, database: Path, query: str, first_day: str, last_day: str) -> None:
    """Write a SQLMesh project with one model, incremental by day."""
    (directory / "models").mkdir(parents=True)
    (directory / "config.yaml").write_text(
        f"gateways:\n  local:\n    connection:\n      type: duckdb\n      database: '{database}'\n"
        "      connector_config: {TimeZone: UTC}\ndefault_gateway: local\n"
        f"model_defaults:\n  dialect: duckdb\n  start: '{first_day}'\n"
    )
    (directory / "models" / "features.sql").write_text(
        "MODEL (name made.features, kind INCREMENTAL_BY_TIME_RANGE (time_column as_of, batch_size 1),"
        f" cron '@daily', start '{first_day}', end '{last_day}');\n{query}\n"
    )
