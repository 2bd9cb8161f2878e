"""The policies of a rehearsal: a file of them, and the suite that each of them makes of the present one.

A policy is what schedules.yaml and product.yaml would say otherwise: jobs that train the product, and keys of
product.yaml such as its gates, its rollout or its model. What it does not mention stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from jobs.schedule.files.definitions import JobName, JobSettings
from jobs.schedule.files.kinds import kind_of
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.definitions.sql_file import Strict
from warehouse.definitions.yaml.yaml_text import read_yaml, validate
from warehouse.errors import DefinitionError, NotFoundError
from warehouse.lake.postgres.addresses import HERE, LAKE_FILE

#: The kinds of work that say when a product is trained: a policy's jobs take the place of these.
TRAINING = ("train", "retrain")
#: The kinds of work that are lived through; others, as exports, have effects outside of the lake, or none that count.
LIVED = ("ingest", "predict", "monitor", "rollout", *TRAINING)


class PolicySettings(Strict):
    """One policy of the file."""

    jobs: Annotated[
        dict[JobName, JobSettings] | None,
        Field(description="Jobs in place of those of schedules.yaml that train the product."),
    ] = None
    product: Annotated[dict[str, Any], Field(description="Keys of product.yaml that are otherwise.")] = Field(
        default_factory=dict
    )


class PolicyFile(Strict):
    """The whole file."""

    policies: Annotated[dict[JobName, PolicySettings], Field(min_length=1, description="The policies by name.")]


@dataclass(frozen=True)
class Policy:
    """A policy as it was written: jobs of schedules.yaml (None: those that there are), and keys of product.yaml."""

    name: str
    jobs: Mapping[str, Any] | None
    product: Mapping[str, Any]

    def said(self) -> dict[str, Any]:
        """Give it as plain values, for a record of what was rehearsed."""
        return {"name": self.name, "jobs": self.jobs, "product": self.product}


def read_policies(path: Path, product: Product) -> list[Policy]:
    """Read a file of policies.

    Raises
    ------
    NotFoundError
        If there is no such file.
    DefinitionError
        If it is wrong: every mistake, with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist; docs/retraining.md says how to write policies") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path} cannot be read: {error}") from error
    problems: list[str] = []
    file = validate(PolicyFile, text, str(path), problems)
    if file is None:
        raise DefinitionError(problems)
    parsed = read_yaml(text, str(path))
    for name, policy in file.policies.items():
        for job, settings in (policy.jobs or {}).items():
            work, here = settings.run.work(), ("policies", name, "jobs", job)
            if work.kind not in LIVED or (work.concerns or product.name) != product.name:
                said = f"`{'.'.join(here)}`: a job of a policy is one of {', '.join(LIVED)}, and of {product.name}"
                problems.append(f"{path}:{parsed.line_of(here)}: {said}; found {work}.")
    if problems:
        raise DefinitionError(problems)
    raw = parsed.data["policies"]
    return [Policy(name, (raw[name] or {}).get("jobs"), (raw[name] or {}).get("product") or {}) for name in raw]


def write_suite(suite: Suite, product: Product, policy: Policy, place: Path) -> None:
    """Make the directory of a policy a suite: the definitions that there are, but for what the policy says.

    Modules that definitions name are found there by links. suite.yaml is left out, so that nothing has to be deployed.

    Raises
    ------
    DefinitionError
        If schedules.yaml is wrong.
    """
    for path in suite.root.iterdir():
        if not path.name.startswith(".") and path.name not in (
            "lake",
            LAKE_FILE,
            "sql",
            "schedules.yaml",
            "suite.yaml",
        ):
            (place / path.name).symlink_to(path)
    for path in sorted((suite.root / "sql").rglob("*")):
        target = place / path.relative_to(suite.root)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.write_bytes(path.read_bytes())
    if policy.product:
        header = place / "sql" / "products" / product.name / "product.yaml"
        said = read_yaml(header.read_text(encoding="utf-8"), product.yaml_where).data
        header.write_text(_as_yaml({**said, **policy.product}), encoding="utf-8")
    has_rollout = bool(policy.product.get("rollout", product.header.rollout))
    schedule = _schedule(suite.root / "schedules.yaml", product, policy, has_rollout)
    (place / "schedules.yaml").write_text(_as_yaml(schedule), encoding="utf-8")
    # Whatever the environment says, nothing of a rehearsal reaches the lake.
    (place / LAKE_FILE).write_text(f"lake: {HERE}\n", encoding="utf-8")


def _as_yaml(data: Mapping[str, Any]) -> str:
    """Write values as JSON, which is YAML too; a date as it was written."""
    return json.dumps(data, default=str, indent=1)


def _schedule(path: Path, product: Product, policy: Policy, has_rollout: bool) -> dict[str, Any]:
    """Put together when jobs run under a policy; what makes the pages, and looks at rollouts, is added if need be."""
    text = path.read_text(encoding="utf-8") if path.exists() else "jobs: {}"
    parsed = read_yaml(text, "schedules.yaml")
    if parsed.problems:
        raise DefinitionError(parsed.problems)
    said: dict[str, Any] = parsed.data or {}
    jobs = {name: job for name, job in (said.get("jobs") or {}).items() if _is_lived(job, product)}
    if policy.jobs is not None:
        jobs = {name: job for name, job in jobs.items() if _kind(job) not in TRAINING} | dict(policy.jobs)
    grid = product.header.pages
    due = {"cron": grid.cron, "zone": grid.zone}
    if not any(_kind(job) == "predict" for job in jobs.values()):
        jobs[f"pages_of_{product.name}"] = {"run": {"predict": product.name}, **due}
    if has_rollout and not any(_kind(job) == "rollout" for job in jobs.values()):
        pages = [name for name, job in jobs.items() if _kind(job) == "predict"]
        jobs[f"rollout_of_{product.name}"] = {"run": {"rollout": product.name}, **due, "after": pages}
    for name, job in jobs.items():
        after = job.get("after") or []
        kept = [one for one in ([after] if isinstance(after, str) else after) if one in jobs]
        jobs[name] = {key: value for key, value in job.items() if key not in ("after", "alerts")} | {"after": kept}
    defaults = {key: value for key, value in (said.get("defaults") or {}).items() if key != "alerts"}
    return {"defaults": defaults, "pools": said.get("pools") or {}, "jobs": jobs}


def _kind(job: Mapping[str, Any]) -> str:
    run = job.get("run")
    return run if isinstance(run, str) else next(iter(run)) if isinstance(run, dict) and run else ""


def _is_lived(job: Mapping[str, Any], product: Product) -> bool:
    kind = _kind(job)
    if kind not in LIVED:
        return False
    return kind_of(kind).in_a_word or kind == "ingest" or job["run"][kind] == product.name
