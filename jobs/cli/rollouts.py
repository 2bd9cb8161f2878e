"""Commands on rollouts: begin one, see where it stands, look, hold, advance, abort."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli.options import DebugOption, JsonOption, ListingGroup, SuiteOption, parse_instant, the_suite
from jobs.cli.output import console

if TYPE_CHECKING:
    from jobs.rollout.stages import Taken
    from jobs.rollout.standing import Standing

rollout = typer.Typer(cls=ListingGroup, help="Rollouts: begin, look at, hold, advance, abort.")

ProductArgument = Annotated[str, typer.Argument(help="A product.")]
PlanOption = Annotated[
    str | None, typer.Option("--plan", metavar="NAME", help="One of `rollout.plans`.", show_default="`rollout` itself")
]
WhyOption = Annotated[str, typer.Option("--why", help="Why, for the record.")]


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.add_typer(rollout, name="rollout")


@rollout.command("list")
def list_rollouts(
    product: Annotated[str | None, typer.Argument(help="A product; default: all.", show_default=False)] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Say where rollouts stand: stage, looks, intervals, what they wait for. `almanac rollout` alone does the same.

    Examples:  almanac rollout   |   almanac rollout flight_delay --json
    """
    from dataclasses import asdict

    from jobs.rollout.standing import standings

    found = standings(the_suite(runs_python=False), product)
    if as_json:
        console.print_json([asdict(one) for one in found])
        return
    if not found:
        typer.echo("There was no rollout yet; begin one with `almanac rollout start PRODUCT VERSION`.")
    for one in found[: 1 if product else None]:
        _print(one)
    if product and len(found) > 1:
        names = ("rollout_id", "versions", "state", "waits")
        console.print_table([{name: getattr(one, name) for name in names} for one in found[1:]], "Earlier ones")


_LOOK = (
    "as_of",
    "arm",
    "n_rows",
    "loss",
    "live_loss",
    "mean",
    "low",
    "high",
    "e_worse",
    "e_good",
    "decision",
    "reason",
)


def _print(one: Standing) -> None:
    typer.echo(
        f"{one.product}: {', '.join(one.versions)} beside {one.live}, {one.stage}: {one.state}. {one.pages} pages since"
        f" {one.first_page}, {one.matured} with all labels, {one.looked_at} looked at. {one.waits}"
    )
    console.print_table(one.arms, "Rows by arm")
    steps: list[dict[str, Any]] = [
        {"from": step.effective_from, "action": step.action, "stage": step.stage + 1, "by": step.decided_by,
         "at": step.decided_at, "why": step.reason}
        for step in one.steps
    ]  # fmt: skip
    console.print_table(steps, "Steps")
    console.print_table([{name: getattr(look, name) for name in _LOOK} for look in one.looks[-20:]], "Looks")


@rollout.command("start")
def start(
    product: ProductArgument,
    versions: Annotated[list[str], typer.Argument(metavar="VERSION ...", help="Registered versions.")],
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="T", help="The first page.", show_default="the next one"),
    ] = None,
    why: Annotated[str | None, typer.Option("--why", help="Why, for the record.", show_default=False)] = None,
    plan: PlanOption = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Begin to try versions beside the live one, by the stages of product.yaml.

    Examples:  almanac rollout start flight_delay v2   |   ... v2 v3 --plan careful --why "new features"
    """
    from jobs.rollout.stages import start as run

    begins = parse_instant(first, "--from") if first else None
    _say(run(the_suite(), product, versions, first_page=begins, reason=why, plan=plan), as_json)


@rollout.command("look")
def look(
    product: ProductArgument,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Look at each page whose labels have matured since the last look, and carry out what follows; `run: {rollout: P}`.

    Examples:  almanac rollout look flight_delay
    """
    from dataclasses import asdict

    from jobs.rollout.look import look as run
    from jobs.rollout.standing import standings

    opened = the_suite()
    found = run(opened, product)
    if as_json:
        console.print_json([asdict(one) for one in found])
        return
    for one in found:
        given = f" Given back: {', '.join(map(str, one.given_back))}." if one.given_back else ""
        typer.echo(f"{product}, page {one.page}: {one.decision}: {one.reason}.{given}")
    if not found:
        going = [one for one in standings(opened, product) if one.state in ("goes on", "held")]
        typer.echo(f"{product}: {going[0].waits if going else 'no rollout goes on'}.")


@rollout.command("hold")
def hold(
    product: ProductArgument,
    why: WhyOption,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Keep a rollout from going further by itself; it goes on looking, and ends where an arm does harm.

    Examples:  almanac rollout hold flight_delay --why "over the holidays"
    """
    from jobs.rollout.stages import hold as run

    _say(run(the_suite(runs_python=False), product, why), as_json)


@rollout.command("advance")
def advance(
    product: ProductArgument,
    why: WhyOption,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Let a rollout that is held go on; take one that is not held to its next stage, from the next page on.

    Examples:  almanac rollout advance flight_delay --why "seen enough in the shadow"
    """
    from jobs.rollout.stages import advance as run

    _say(run(the_suite(runs_python=False), product, why), as_json)


@rollout.command("abort")
def abort(
    product: ProductArgument,
    why: WhyOption,
    version: Annotated[
        str | None, typer.Option("--version", metavar="V", help="One of several arms.", show_default="all of them")
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """End a rollout: what readers see of its arms is the live version's again, from rows that stand there already.

    Examples:  almanac rollout abort flight_delay --why "the hotel desk complains"
    """
    from jobs.rollout.stages import abort as run

    _say(run(the_suite(runs_python=False), product, why, version), as_json)


@rollout.command("power")
def power(
    product: ProductArgument,
    challengers: Annotated[int, typer.Option("--challengers", min=1, help="Among how many the level is divided.")] = 1,
    plan: PlanOption = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Say after how many pages a difference of so much would be seen, from pages of the product's past.

    Examples:  almanac rollout power flight_delay   |   ... --challengers 2
    """
    from dataclasses import asdict

    from jobs.rollout.power import power as run

    found = run(the_suite(), product, challengers, plan)
    if as_json:
        console.print_json(asdict(found))
        return
    typer.echo(
        f"{product}: from {found.n_pages} pages of {found.history}. Their differences have a standard deviation of"
        f" {found.deviation:.4g}; margin {found.margin:g}, at most {found.at_most} pages."
    )
    rows = [{"difference": one.difference, "seen": one.decided, "median_page": one.median_page} for one in found.rows]
    console.print_table(rows, "Of rollouts whose challenger is by so much better than the margin allows")


def _say(taken: Taken, as_json: bool) -> None:

    from warehouse.ledger.rollouts import stage_name

    step, course = taken.step, taken.course.rollout
    if as_json:
        console.print_json({**vars(step), "given_back": list(taken.given_back)})
        return
    given = f" Given back to {course.live}: {', '.join(map(str, taken.given_back))}." if taken.given_back else ""
    typer.echo(
        f"{step.product}: {step.action}, {stage_name(course, step.stage)}, from the page {step.effective_from} on."
        f"{given} See it with: almanac rollout {step.product}"
    )
