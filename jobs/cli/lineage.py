"""Commands on lineage: lineage, impact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.options import DebugOption, JsonOption, SuiteOption, the_suite
from jobs.cli.output import console
from warehouse.errors import UsageError

if TYPE_CHECKING:
    from jobs.suites.lineage import SuiteLineage
    from warehouse.lineage.graph import Node
    from warehouse.lineage.impact import Impact

MermaidOption = Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flowchart, for documents.")]


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("lineage")(lineage)
    app.command("impact")(impact)


def lineage(
    name: Annotated[str | None, typer.Argument(metavar="[PRODUCT[.COLUMN]]", help="All, if not given.")] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    mermaid: MermaidOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what predictions are made of, column by column, down to the files.

    Roles: value (goes into it), filter, join, group, order (decide on its rows), rows (depends on a table's rows).
    A role with `?` could not be traced, and is assumed.

    Examples:  almanac lineage flight_delay   |   almanac lineage flight_delay.carrier_late_7d --mermaid
    """
    from jobs.suites.lineage import product_column, suite_lineage

    _one_of(as_json, mermaid)
    drawn = suite_lineage(the_suite(runs_python=False))
    if name is not None and "." in name:
        _show_column(drawn, product_column(drawn, name), as_json, mermaid)
    else:
        products = [drawn.suite.definitions.product(name).name] if name else sorted(drawn.suite.definitions.products)
        _show_products(drawn, products, name is not None, as_json, mermaid)
    if not as_json and not mermaid:
        for doubt in drawn.doubts:
            typer.echo(f"not certain: {doubt}", err=True)


def _one_of(as_json: bool, mermaid: bool) -> None:
    if as_json and mermaid:
        raise UsageError("--json and --mermaid are two ways to print the same; give one of them.")


def _show_column(drawn: SuiteLineage, node: Node, as_json: bool, mermaid: bool) -> None:
    from jobs.cli.output import lineage_views as views

    nodes = {node, *drawn.graph.upstream(node)}
    if as_json:
        console.print_json({"column": node.id, **views.as_data(drawn, nodes)})
    elif mermaid:
        typer.echo(views.columns_mermaid(drawn.graph, nodes))
    else:
        console.print_tree(views.column_tree(drawn.graph, node))
        used = [edge.target for edge in drawn.graph.out_of(node)]
        if used:
            typer.echo("used by: " + ", ".join(sorted({views.column_title(target) for target in used})))


def _show_products(drawn: SuiteLineage, products: list[str], is_one: bool, as_json: bool, mermaid: bool) -> None:
    from jobs.cli.output import lineage_views as views
    from warehouse.lineage.graph import Node
    from warehouse.lineage.uses import ROWS

    ends = [
        node
        for node in drawn.graph.nodes
        if (node.kind in ("page", "predictions", "model", "label") and node.owner in products)
        or (node.kind == "predictions" and node.owner.rpartition("_")[0] in products)
        or (node.kind == "check" and node.owner.partition(".")[0] in products)
    ]
    nodes = set(ends).union(*(drawn.graph.upstream(node) for node in ends)) if is_one else drawn.graph.nodes
    if as_json:
        console.print_json(views.as_data(drawn, nodes))
        return
    if mermaid:
        typer.echo(views.things_mermaid(drawn.graph.between(nodes)))
        return
    for product in products:
        console.print_tree(views.things_tree(drawn.graph, ("predictions", product)))
    if is_one:
        whole = [("(which rows)", Node("page", products[0], ROWS))]
        columns = [(node.column, node) for node in drawn.graph.columns("page", products[0])]
        rows = [{"column": title, **views.nearest_sources(drawn.graph, node)} for title, node in [*whole, *columns]]
        console.print_table(rows, f"The features of {products[0]}, by the sources' columns")


def impact(
    name: Annotated[str, typer.Argument(metavar="SOURCE.COLUMN", help="A column of a source, or of its files.")],
    new_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="It gets this type.")] = None,
    of_file: Annotated[bool, typer.Option("--of-file", help="Take it as a column of the source's files.")] = False,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    mermaid: MermaidOption = False,
    debug: DebugOption = False,
) -> None:
    """Tell what breaks and what changes if a source's column goes, or gets another type. Changes nothing.

    What breaks would fail to run; what changes would run, and may give other values.

    Examples:  almanac impact landings.arrival_delay   |   almanac impact planes.seats --type VARCHAR
    """
    from jobs.cli.output import lineage_views as views
    from jobs.suites.lineage import impact as ask

    _one_of(as_json, mermaid)
    answer, drawn = ask(the_suite(runs_python=False), name, new_type, of_file=of_file)
    if as_json:
        console.print_json(views.impact_data(answer))
    elif mermaid:
        typer.echo(views.impact_mermaid(drawn.graph, answer))
    else:
        _print_impact(answer)


def _print_impact(answer: Impact) -> None:
    from jobs.cli.output import lineage_views as views

    title = f"{views.column_title(answer.column)} {answer.event}"
    breaks = [{"what": views.thing_title((b.kind, b.name)), "why": b.why} for b in answer.breaks]
    console.print_table(breaks, f"Breaks, if {title}")
    if not breaks:
        typer.echo(f"Nothing breaks, if {title}.")
    console.print_table(
        [{"column": views.column_title(r.node), "was": r.before, "becomes": r.after} for r in answer.retyped],
        "Gets another type",
    )
    changes = views.changes_by_thing(answer)
    console.print_table(changes, "Depends on it, so runs on and may give other values, where it does not break")
    if not changes:
        typer.echo("Nothing depends on it.")
    for note in answer.notes:
        typer.echo(note, err=True)
