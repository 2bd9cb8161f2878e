"""How a CSV or JSON file is read: what its reader's call declares, and for the rest what DuckDB finds in the file.

What was found for a source is kept with it. A later file is read as the first ones were, whatever it looks like by
itself: of `02/06/2026` alone nobody can tell the day from the month. Where its dates look otherwise it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from jobs.facts.csv_files.calls import ReaderCall
from jobs.facts.csv_files.cells import Notation, is_nested, may_differ, plain_type
from jobs.facts.csv_files.twins import twins_in
from warehouse.definitions import Source
from warehouse.errors import FileRefused
from warehouse.lake.lake import Commit
from warehouse.system_sql import literal, quote, system_sql

_TYPES = ("types", "dtypes", "column_types")
#: Options that say how cells are cast, which is not left to the reader, or how to look at a file.
_OURS = frozenset(
    {*_TYPES, "columns", "names", "dateformat", "timestampformat", "date_format", "timestamp_format", "auto_detect"}
    | {"all_varchar", "sample_size", "auto_type_candidates", "files_to_sniff", "union_by_name", "decimal_separator"}
    | {"thousands", "normalize_names", "delim", "sep", "delimiter", "quote", "escape", "comment", "skip", "header"}
    | {"new_line"}
)
#: Options of JSON readers that say how to look at a file, and those and others that do not hold for a file's text.
_LOOKING = frozenset(
    "sample_size maximum_sample_files maximum_depth field_appearance_threshold map_inference_threshold"
    " convert_strings_to_integers dateformat timestampformat date_format timestamp_format".split()
)
_OURS_OF_JSON = _LOOKING | {"columns", "auto_detect", "records"}
#: So many rows are looked at to tell the day from the month.
_LOOKED_AT = 200_000


@dataclass(frozen=True)
class Found:
    """What was found in the files of one reader and is kept: types of columns, and how dates and instants are written.

    A format is empty where that is DuckDB's own, `2026-01-31 12:00:00`, and None where there was no such column.
    """

    types: Mapping[str, str] = field(default_factory=dict)
    date: str | None = None
    timestamp: str | None = None


@dataclass(frozen=True)
class FileFormat:
    """How one file is read: `columns` with their types in the file's order, `options` of a reader of its text.

    `twins` are the columns that the file calls by one name, with the names that DuckDB gives the later ones.
    """

    columns: dict[str, str]
    options: dict[str, str]
    notation: Notation
    found: Found
    twins: Mapping[str, list[str]] = field(default_factory=dict)

    def reader(self, paths: list[str]) -> str:
        """Give SQL of a reader that gives the files' cells as text; what is nested in JSON, as JSON."""
        return (json_reader if self.notation.is_json else csv_reader)(paths, self.options, self.columns)

    def is_cast(self, name: str) -> bool:
        """Tell whether a column's cells are cast: a text is what it is, and so is JSON in JSON."""
        return may_differ(self.columns[name]) and not (self.notation.is_json and self.columns[name] == "JSON")


def format_of(connection: duckdb.DuckDBPyConnection, call: ReaderCall, path: str, kept: Found) -> FileFormat:
    """Find out how a file is read.

    Parameters
    ----------
    connection
        Where DuckDB looks at the file.
    call
        The reader's call.
    path
        The file, as a pattern.
    kept
        What was found before for this source.

    Raises
    ------
    FileRefused
        If its dates would be read otherwise than before, or can be read in two ways.
    duckdb.Error
        If DuckDB cannot read it, or it lacks a column whose type is declared.
    """
    declared = _declared(connection, call)
    dialect = _sniffed(connection, call, path, declared)
    names = [str(column["name"]) for column in dialect["Columns"]]
    by_name = _by_name(declared, names)
    declared_or_kept = {name.lower(): kind for name, kind in kept.types.items()} | by_name
    sniffed = {str(column["name"]): str(column["type"]) for column in dialect["Columns"]}
    types = {name: plain_type(declared_or_kept.get(name.lower(), kind)) for name, kind in sniffed.items()}
    guessed = {name: types[name] for name in names if name.lower() not in by_name}
    date, timestamp = _formats(connection, call, dialect, types, kept, path)
    notation = Notation(
        date=_given(connection, call, "dateformat", "date_format") or date or None,
        timestamp=_given(connection, call, "timestampformat", "timestamp_format") or timestamp or None,
        decimal_separator=_given(connection, call, "decimal_separator") or ".",
        thousands=_given(connection, call, "thousands") or "",
        by_guess=frozenset(guessed),
    )
    found = Found({**kept.types, **guessed}, date if date is not None else kept.date, timestamp or kept.timestamp)
    options = _options(connection, call, dialect)
    return FileFormat(types, options, notation, found, twins_in(connection, names, options, path))


def csv_reader(paths: list[str], options: Mapping[str, str], columns: Mapping[str, str]) -> str:
    """Give SQL of a reader that gives the files' cells as text."""
    listed = "[" + ", ".join(map(literal, paths)) + "]"
    struct = "{" + ", ".join(f"{literal(name)}: 'VARCHAR'" for name in columns) + "}"
    given = "".join(f", {name} = {value}" for name, value in options.items())
    return f"read_csv({listed}, auto_detect = false, columns = {struct}{given})"


def json_reader(paths: list[str], options: Mapping[str, str], columns: Mapping[str, str]) -> str:
    """Give SQL of a reader that gives the values of JSON objects as text, and what is nested as JSON."""
    listed = "[" + ", ".join(map(literal, paths)) + "]"
    struct = "{" + ", ".join(f"{literal(name)}: 'JSON'" for name in columns) + "}"
    given = "".join(f", {name} = {value}" for name, value in options.items())
    texts = ", ".join(
        f"{quote(name)} ->> '$' AS {quote(name)}"
        for name, kind in columns.items()
        if not is_nested(kind) and kind != "JSON"
    )
    replaced = f" REPLACE ({texts})" if texts else ""
    return f"(SELECT *{replaced} FROM read_json({listed}, columns = {struct}{given}))"


def json_format_of(
    connection: duckdb.DuckDBPyConnection, call: ReaderCall, paths: list[str], kept: Found
) -> FileFormat:
    """Find out how JSON files are read together.

    Parameters
    ----------
    connection, call
        Where DuckDB looks at the files, and the reader's call.
    paths
        The files, as patterns. They are looked at whole: a number beyond the first thousands may be no integer.
    kept
        What was found before for this source.

    Raises
    ------
    FileRefused
        If the call wants each object as one value.
    duckdb.Error
        If DuckDB cannot read them.
    """
    if "records" in call.options and str(_value(connection, call.options["records"])).lower() not in ("true", "auto"):
        raise FileRefused("read_json with `records` gives objects as they are; leave it out, and name their keys.")
    declared = _declared(connection, call) if "columns" in call.options else {}
    options = {name: value for name, value in call.options.items() if name not in _OURS_OF_JSON}
    if "ndjson" in call.function:
        options.setdefault("format", "'newline_delimited'")
    if isinstance(declared, dict) and declared:
        types, guessed = {name: plain_type(kind) for name, kind in declared.items()}, dict[str, str]()
    else:
        types = _types_in_json(connection, call, paths, options)
        plain = {name for name, kind in types.items() if not is_nested(kind)}
        types |= {name: kind for name, kind in kept.types.items() if name in plain}
        guessed = {name: types[name] for name in plain}
    notation = Notation(
        date=_given(connection, call, "dateformat", "date_format") or None,
        timestamp=_given(connection, call, "timestampformat", "timestamp_format") or None,
        by_guess=frozenset(guessed),
        is_json=True,
    )
    return FileFormat(types, options, notation, Found({**kept.types, **guessed}, kept.date, kept.timestamp))


def _types_in_json(
    connection: duckdb.DuckDBPyConnection, call: ReaderCall, paths: list[str], options: Mapping[str, str]
) -> dict[str, str]:
    looking = {name: value for name, value in call.options.items() if name in _LOOKING and name not in options}
    looking = {"sample_size": "-1", "maximum_sample_files": "1000000000"} | looking
    own = {name: value for name, value in options.items() if name not in ("filename", "hive_partitioning")}
    given = "".join(f", {name} = {value}" for name, value in {**own, **looking}.items())
    listed = "[" + ", ".join(map(literal, paths)) + "]"
    query = f"DESCRIBE FROM read_json({listed}, hive_partitioning = false{given})"
    return {str(row[0]): str(row[1]) for row in connection.execute(query).fetchall()}


def kept_formats(connection: duckdb.DuckDBPyConnection, source: Source) -> list[Found]:
    """Give what was kept of a source's readers, in the order of their calls; empty if nothing was.

    What was kept under its definition as it is counts before what was kept under another one.
    """
    try:
        row = connection.execute(system_sql("ledger/csv_formats"), [source.name, source.fingerprint]).fetchone()
    except duckdb.CatalogException:  # A lake of an earlier version that cannot be written to.
        return []
    return [Found(**found) for found in json.loads(row[0])] if row else []


def keep_formats(commit: Commit, source: Source, ingest_id: int, found: Sequence[Found]) -> None:
    """Keep what was found of a source's readers, if that is news."""
    if found and list(found) != kept_formats(commit.connection, source):
        text = json.dumps([vars(each) for each in found])
        values = [source.name, source.fingerprint, ingest_id, text]
        commit.execute("INSERT INTO ledger.csv_formats VALUES ($1, $2, $3, $4)", values)


def _declared(connection: duckdb.DuckDBPyConnection, call: ReaderCall) -> dict[str, str] | list[str]:
    """Give the types that a call declares, by name or by place."""
    for option in ("columns", *_TYPES):
        if option in call.options:
            found = _value(connection, call.options[option])
            return [str(kind) for kind in found] if isinstance(found, list) else {k: str(v) for k, v in found.items()}
    return {}


def _by_name(declared: dict[str, str] | list[str], names: Sequence[str]) -> dict[str, str]:
    """Give declared types by the lower-cased names of columns, as DuckDB compares them."""
    if isinstance(declared, list):
        return dict(zip((name.lower() for name in names), declared, strict=False))
    there = {name.lower() for name in names}
    if lacking := [name for name in declared if name.lower() not in there]:
        if len(lacking) == len(declared) > 1:
            raise duckdb.BinderException(
                f"it has none of the declared columns ({', '.join(declared)}) as DuckDB takes it apart: its first line"
                " is another one, or some line has more or fewer cells than the first"
            )
        listed = ",".join(f'"{name}"' for name in lacking)
        # In the words of DuckDB 1.5, by which it is seen what a file lacks.
        raise duckdb.BinderException(f"Columns with names: {listed} do not exist in the CSV File")
    return {name.lower(): kind for name, kind in declared.items()}


def _sniffed(
    connection: duckdb.DuckDBPyConnection, call: ReaderCall, path: str, declared: dict[str, str] | list[str]
) -> dict[str, Any]:
    """Let DuckDB look at a file, or take its defaults where the call forbids that."""
    if "auto_detect" in call.options and not _value(connection, call.options["auto_detect"]):
        columns = (
            [{"name": name, "type": kind} for name, kind in declared.items()] if isinstance(declared, dict) else []
        )
        header = "header" in call.options and _value(connection, call.options["header"])
        return {"Columns": columns, "Delimiter": ",", "HasHeader": bool(header), "SkipRows": 0}
    options = {name: value for name, value in call.options.items() if name != "auto_detect"}
    try:
        found = _look(connection, path, options)
        is_whole = len(found["Columns"]) > 1 or (isinstance(declared, dict) and len(declared) == 1)
        return found if is_whole else _looked_at_whole_lines(connection, path, options)
    except (duckdb.InvalidInputException, duckdb.BinderException):
        # A cell that a declared type does not hold ends it, or a column that is not there: then without those.
        plain = {name: value for name, value in options.items() if name not in ("columns", *_TYPES)}
        if "columns" in options:
            plain["names"] = "[" + ", ".join(map(literal, declared)) + "]"
        return _looked_at_whole_lines(connection, path, plain)


def _looked_at_whole_lines(
    connection: duckdb.DuckDBPyConnection, path: str, options: Mapping[str, str]
) -> dict[str, Any]:
    """Let DuckDB look at a file in which a line may have a cell too few; whoever reads it is told which.

    DuckDB 1.5 takes such a file for one of a single column, whose name is the whole first line, or refuses to look.
    """
    found: dict[str, Any] | None = None
    try:
        found = _look(connection, path, options)
        if len(found["Columns"]) > 1 or "null_padding" in options:
            return found
    except duckdb.InvalidInputException:
        if "null_padding" in options:
            raise
    padded = _look(connection, path, {**options, "null_padding": "true"})
    return padded if found is None or len(padded["Columns"]) > 1 else found


def _look(connection: duckdb.DuckDBPyConnection, path: str, options: Mapping[str, str]) -> dict[str, Any]:
    given = "".join(f", {name} = {value}" for name, value in options.items())
    cursor = connection.execute(system_sql("ingest/sniff", file=literal(path), options=given))
    names = [column[0] for column in cursor.description or ()]
    return dict(zip(names, cursor.fetchone() or (), strict=False))


def _options(connection: duckdb.DuckDBPyConnection, call: ReaderCall, dialect: Mapping[str, Any]) -> dict[str, str]:
    """Give the options of a reader of text: those of the call that do not bear on types, and the dialect."""
    kept = {name: value for name, value in call.options.items() if name not in _OURS}

    def of(option: str, found: str, default: str, *synonyms: str) -> str:
        given = next((call.options[name] for name in (option, *synonyms) if name in call.options), None)
        sniffed = dialect.get(found)
        # A file without quotes at its beginning may have some later.
        return given or literal(default if sniffed in (None, "", "(empty)") else str(sniffed))

    kept["delim"] = of("delim", "Delimiter", ",", "sep", "delimiter")
    kept["quote"] = of("quote", "Quote", '"')
    # One without doubled quotes at its beginning may have some later, and so may the next file.
    kept["escape"] = of("escape", "Escape", str(_value(connection, kept["quote"])))
    if not _value(connection, kept["quote"]):
        kept["escape"] = call.options.get("escape", "''")
    comment = of("comment", "Comment", "")
    if comment != "''":
        kept["comment"] = comment
    kept["skip"] = str(dialect["SkipRows"])
    kept["header"] = str(bool(dialect["HasHeader"])).lower()
    new_line = call.options.get("new_line")
    if new_line or dialect.get("NewLineDelimiter") not in (None, "", "(empty)"):
        kept["new_line"] = new_line or literal(str(dialect["NewLineDelimiter"]))
    return kept


def _formats(
    connection: duckdb.DuckDBPyConnection,
    call: ReaderCall,
    dialect: Mapping[str, Any],
    types: Mapping[str, str],
    kept: Found,
    path: str,
) -> tuple[str | None, str | None]:
    """Give how a file's dates and instants are written: as those before."""
    found: list[str | None] = []
    for option, kind, before, column in (
        ("dateformat", "DATE", kept.date, "DateFormat"),
        ("timestampformat", "TIMESTAMP", kept.timestamp, "TimestampFormat"),
    ):
        sniffed_here = [str(each["name"]) for each in dialect["Columns"] if str(each["type"]).startswith(kind)]
        of_kind = [name for name in sniffed_here if types[name].startswith(kind)]
        here = _plain(str(dialect.get(column) or "")) if sniffed_here else None
        if option in call.options or option.replace("format", "_format") in call.options:
            found.append(None)
        elif before is not None:
            if here is not None and here != before and of_kind:
                raise FileRefused(
                    f"its {kind}s look like {_shown(here)}, and those before were read as"
                    f" {_shown(before)}; declare {option} in read_csv, or deliver the file in that form."
                )
            found.append(before)
        else:
            if here and (other := _other_way(connection, call, dialect, of_kind, here, path)):
                raise FileRefused(
                    f"whether its {kind}s are {_shown(here)} or {_shown(other)} cannot be told from"
                    f" them; declare {option} in read_csv."
                )
            found.append(here)
    return found[0], found[1]


def _plain(form: str) -> str:
    """Leave out a format that DuckDB's casts read by themselves."""
    return "" if form.startswith(("%Y-%m-%d", "%Y/%m/%d")) else form


def _shown(form: str) -> str:
    return form or "%Y-%m-%d"


def _other_way(
    connection: duckdb.DuckDBPyConnection,
    call: ReaderCall,
    dialect: Mapping[str, Any],
    names: list[str],
    form: str,
    path: str,
) -> str:
    """Give the format with day and month the other way round, if every cell could be that too and one would differ."""
    if not names or "%d" not in form or "%m" not in form:
        return ""
    other = form.replace("%d", "%\0").replace("%m", "%d").replace("%\0", "%m")
    columns = {str(column["name"]): "VARCHAR" for column in dialect["Columns"]}
    cells = csv_reader([path], _options(connection, call, dialect), columns)
    for name in names:
        query = system_sql("ingest/day_or_month", column=quote(name), cells=cells, limit=str(_LOOKED_AT))
        row = connection.execute(query, {"form": form, "other": other}).fetchone()
        if row is None or not row[0]:
            return ""
    return other


def _given(connection: duckdb.DuckDBPyConnection, call: ReaderCall, *names: str) -> str:
    value = next((_value(connection, call.options[name]) for name in names if name in call.options), None)
    return "" if value is None or value in ("auto", "iso") else str(value)


def _value(connection: duckdb.DuckDBPyConnection, text: str) -> Any:
    """Give the value of an option, which is SQL of a constant."""
    row = connection.execute(f"SELECT {text}").fetchone()
    return row[0] if row else None
