"""Commands on training: train, train again if that is due, see whether it is, and what it is worth."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli.options import AsOfOption, DebugOption, JsonOption, ScratchOption, SuiteOption, parse_instant, the_suite
from jobs.cli.output import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.rehearsal.figures import PolicyResult
    from jobs.training.train import TrainResult


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("train")(train)
    app.command("retrain")(retrain)
    app.command("triggers")(triggers)
    app.command("freshness")(freshness)
    app.command("rehearse")(rehearse)


def train(
    product: Annotated[str, typer.Argument(help="A product.")],
    as_of: AsOfOption = None,
    window: Annotated[
        str | None,
        typer.Option("--window", metavar="90d", help="Only the pages of so much time before.", show_default=False),
    ] = None,
    stateful: Annotated[
        bool, typer.Option("--stateful", help="Continue a version on what has become known since.")
    ] = False,
    version: Annotated[
        str | None, typer.Option("--from", metavar="VERSION", help="The one to continue.", show_default="the newest")
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Do not try a stateless training beside it.")] = False,
    search: Annotated[bool, typer.Option("--search", help="Try the candidates of product.yaml first.")] = False,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Models that a search tries.")] = 40,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="10m", help="At most so long a search.", show_default=False)
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for the record.", show_default=False)] = None,
    no_promote: Annotated[bool, typer.Option("--no-promote", help="Register it, and leave live what is.")] = False,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a model version on the labels known before an instant (default: now), or register a rule in SQL.

    The newest fifth of the pages is held out for validation. The version goes live if the product's gates pass; of a
    product without gates the first version does, and later ones are promoted by a person.

    Examples:  almanac train flight_delay --as-of 2013-10-01   |   almanac train flight_delay --window 90d
    """
    from jobs.training.register import Order
    from jobs.training.search import Searching
    from jobs.training.train import Continuing
    from jobs.training.train import train as run

    told = {"--from": version, "--alone": alone, "--stateful": stateful, "--search": search, "--budget": budget}
    _refuse_what_contradicts({name for name, value in told.items() if value})
    result = run(
        the_suite(),
        product,
        parse_instant(as_of, "--as-of") if as_of else None,
        console.listener(),
        window=_duration(window, "--window"),
        stateful=Continuing(version, alone) if stateful else None,
        searching=Searching(trials, _duration(budget, "--budget")) if search else None,
        order=Order(reason, may_promote=not no_promote),
    )
    model = result.model
    if as_json:
        gates = [vars(gate) for gate in result.verdict.gates]
        figures = {name: getattr(result, name) for name in ("went_live", "is_new", "why", "beside")}
        tried = [vars(one) for one in result.trials]
        console.print_json({**vars(model), **figures, "gates": gates, "trials": tried})
        return
    _print_result(result)


def _refuse_what_contradicts(given: set[str]) -> None:
    """Refuse options that have nothing to say without others, or not together."""
    from warehouse.errors import UsageError

    if given & {"--from", "--alone"} and "--stateful" not in given:
        raise UsageError("--from and --alone go with --stateful.")
    if {"--search", "--stateful"} <= given:
        raise UsageError("--search tries new estimators, and --stateful continues one.")
    if "--budget" in given and "--search" not in given:
        raise UsageError("--budget goes with --search.")


def _print_result(result: TrainResult) -> None:
    model = result.model
    if not result.is_new:
        typer.echo(f"{model.product}: {result.why}; nothing was registered.")
        return
    figures = {
        "version": model.version,
        "live": result.went_live,
        "label cut-off": model.label_cutoff,
        "pages": model.n_pages,
        "rows": model.n_rows,
        "features": len(model.features),
        "scorer": model.scorer,
        "seconds": result.wall_s,
    }
    _print_search(result)
    console.print_table([figures], f"{'Registered' if model.is_rule else 'Trained'} {model.product}")
    influenced = model.metrics.get("influenced_labels")
    if influenced is not None:
        typer.echo(
            f"{influenced:.1%} of its labels are of rows that a model had chosen for, and that its predictions may have"
            " changed; see docs/rollouts.md on `explore`."
        )
    prefix = "validation_"
    validation = {n.removeprefix(prefix): value for n, value in model.metrics.items() if n.startswith(prefix)}
    if validation:
        console.print_table([validation], "Validation: the newest pages, by a model that had not seen them")
    console.print_table(result.beside, "Both ways, on the same held-out rows")
    console.print_table(
        [{"gate": gate.gate, "passed": gate.passed, "found": gate.message} for gate in result.verdict.gates], "Gates"
    )
    if result.went_live:
        typer.echo(f"{model.version} is live for the pages from {result.live_from} on: {result.why}.")
    else:
        typer.echo(f"{model.version} is registered and not live: {result.why}. What was live stays.")


def _print_search(result: TrainResult) -> None:
    """Show the trials that came furthest, and how product.yaml would say what won."""
    names = ("trial", "rung", "state", "estimator", "parameters", "without", "loss", "cpu_s")
    best = sorted(result.trials, key=lambda one: (-one.rung, one.loss is None, one.loss))[:10]
    console.print_table([{name: getattr(one, name) for name in names} for one in best], "Search: the best trials")
    won = [one for one in result.trials if one.state == "won"]
    for one in won if any(one.trial for one in won) else ():
        without = f", leave_out: [the columns of {one.without}]" if one.without else ""
        model = f"{{estimator: {one.estimator}, parameters: {one.parameters}{without}}}"
        typer.echo(f"To keep it, in product.yaml: model: {model}")


def _duration(text: str | None, option: str) -> timedelta | None:
    """Read a duration as people write it in definitions."""
    from warehouse.definitions.durations import parse_duration
    from warehouse.errors import UsageError

    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}") from error


def retrain(
    product: Annotated[str, typer.Argument(help="A product.")],
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="A job of schedules.yaml.", show_default="the only one")
    ] = None,
    tick: Annotated[
        str | None,
        typer.Option("--tick", metavar="T", help="Asked again for it, the answer stands.", show_default="now"),
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a product again if a job's `when` says so, and roll out or promote what comes of it; `run: {retrain: P}`.

    Examples:  almanac retrain flight_delay   |   almanac retrain flight_delay --job retrain_nightly --json
    """
    from jobs.retraining.retrain import retrain as run

    asked = parse_instant(tick, "--tick") if tick else None
    found = run(the_suite(), product, job, asked, console.listener())
    trigger = found.trigger
    if as_json:
        console.print_json({**vars(trigger), "version": found.version, "became": found.became})
        return
    typer.echo(f"{product}, {trigger.job}, as of {trigger.known_by}: {trigger.answer}: {trigger.reason}.")
    if found.version is not None:
        typer.echo(f"{found.version} is {found.became}. See why with: almanac models show {product} {found.version}")
    for need in trigger.needs if found.version is None else ():
        typer.echo(f"  before the next training: {need}")


def triggers(
    product: Annotated[str, typer.Argument(help="A product.")],
    at: Annotated[str | None, typer.Option("--at", metavar="T", help="As of this instant.", show_default="now")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="So many answers, the newest.")] = 30,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Say whether a product would be trained again, what that would take, and what was answered before.

    Nothing is written or trained. Examples:  almanac triggers flight_delay   |   ... --at 2013-10-01 --json
    """
    from dataclasses import asdict

    from jobs.retraining.standing import standing

    found, written = standing(the_suite(), product, parse_instant(at, "--at") if at else None)
    newest = written[-limit:]
    if as_json:
        jobs = [{"job": one.job, "at": one.at, **asdict(one.answer), "figures": dict(one.figures)} for one in found]
        console.print_json({"product": product, "jobs": jobs, "answers": [vars(one) for one in newest]})
        return
    for one in found:
        typer.echo(f"{product}, {one.job}, as of {one.at}: {one.answer.answer}: {one.answer.reason}.")
        for need in one.answer.needs:
            typer.echo(f"  before the next training: {need}")
    rows = [
        {
            "as_of": one.known_by,
            "job": one.job,
            "answer": one.answer,
            "why": one.reason,
            "alarms": list(one.alarms),
        }
        for one in newest
    ]
    console.print_table(rows, "Answers")


def rehearse(
    product: Annotated[str, typer.Argument(help="A product.")],
    first: Annotated[str, typer.Option("--from", metavar="A", help="Live through history from here.")],
    until: Annotated[str, typer.Option("--to", metavar="B", help="To here, exclusive.")],
    policies: Annotated[Path, typer.Option("--policies", metavar="FILE", help="The policies, as YAML.")],
    hold_out: Annotated[
        float | None,
        typer.Option("--hold-out", metavar="SHARE", help="Choose by the pages before this last share of them."),
    ] = None,
    training_takes: Annotated[
        str | None,
        typer.Option("--training-takes", metavar="TIME", help="Such as 20 minutes.", show_default="as trainings took"),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the policies' suites, to look at.")] = False,
    processes: Annotated[
        int | None,
        typer.Option("--processes", min=1, help="So many policies at once.", show_default="one for each CPU"),
    ] = None,
    scratch: ScratchOption = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Live through history again under policies, and compare what they come to. What is published is untouched.

    Killed, the same command goes on where it was.

    Examples:  almanac rehearse flight_delay --from 2013-06-01 --to 2014-01-01 --policies policies.yaml --hold-out 0.5
    """
    from dataclasses import asdict

    from jobs.rehearsal.rehearse import rehearse as run
    from jobs.scoring.kernels.tree_scorer import available_cpus

    begin, end = parse_instant(first, "--from"), parse_instant(until, "--to")
    takes = _duration(training_takes, "--training-takes")
    options: dict[str, Any] = {"hold_out": hold_out, "training_takes": takes, "keep": keep, "scratch": scratch}
    options["processes"] = processes or available_cpus()
    found = run(the_suite(), product, begin, end, policies, **options, progress=console.listener())
    if as_json:
        console.print_json(asdict(found))
        return
    if found.chosen_on:
        console.print_table(_of_policies(found.chosen_on, found.metric), f"{product}: before {found.held_out_from}")
    since = found.held_out_from or found.begin
    console.print_table(_of_policies(found.rows, found.metric), f"{product}: from {since} to {found.end}")
    hindsight = "on the pages before, by which it was chosen" if found.chosen_on else "in hindsight"
    if found.best is not None:
        typer.echo(f"{found.best} is the best, {hindsight}; a training takes {found.training_s / 60:g} min.")
    for note in found.notes:
        typer.echo(f"  {note}")


def _of_policies(rows: Sequence[PolicyResult], metric: str) -> list[dict[str, Any]]:
    """Put the table of policies together as people read it."""
    return [
        {
            "policy": f"{row.policy}{' (best)' if row.is_best else ''}",
            "trainings": row.trainings,
            "CPU s": row.cpu_s,
            metric: row.figure,
            "low": row.low,
            "high": row.high,
            "better than the first": row.against,
            "at least": row.against_low,
            "at most": row.against_high,
            "alarms": row.acute + row.drift + row.performance,
            "age in days": row.age_days,
            "pages": row.pages,
            "faulty": row.faulty_days,
            "failed": row.failed,
        }
        for row in rows
    ]


def freshness(
    product: Annotated[str, typer.Argument(help="A product.")],
    first: Annotated[str, typer.Option("--from", metavar="A", help="The first cut-off.")],
    until: Annotated[str, typer.Option("--to", metavar="B", help="Judge on the pages before it.")],
    cutoffs: Annotated[int, typer.Option("--cutoffs", min=2, help="So many versions are trained.")] = 6,
    also: Annotated[
        str | None, typer.Option("--also", metavar="ESTIMATOR", help="Compare with another one.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="An HTML file, with the curve.", show_default=False)
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Say how the loss grows with a model's age, and what retraining more often would gain and cost.

    Nothing is registered; the ledger keeps the figures.

    Examples:  almanac freshness flight_delay --from 2013-06-01 --to 2013-12-31
    """
    from dataclasses import asdict

    from jobs.training.freshness import freshness as run
    from jobs.training.freshness_report import basis_of, tables_of, write_freshness

    begin, end = parse_instant(first, "--from"), parse_instant(until, "--to")
    found = run(the_suite(), product, begin, end, cutoffs=cutoffs, also=also, progress=console.listener())
    if output is not None:
        write_freshness(found, output)
    if as_json:
        console.print_json(asdict(found))
        return
    for title, rows in tables_of(found).items():
        console.print_table(rows, title)
    typer.echo(basis_of(found))
    for note in found.notes:
        typer.echo(f"  {note}")
