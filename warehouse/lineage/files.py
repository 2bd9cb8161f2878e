"""The file readers in a source's query: which of the source's files each reads, and the columns that it declares.

`read_csv($files[1], types = {...})` declares some of the file's columns, `columns = {...}` all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from warehouse.definitions.source import SourceHeader
from warehouse.lineage.uses import Relation, table

_DECLARE_SOME = ("types", "dtypes", "column_types")
_SEPARATORS = ("delim", "sep", "delimiter")
_READERS = (exp.ReadCSV, exp.ReadParquet)
_READER_NAMES = ("read_csv", "read_csv_auto", "read_parquet", "read_json", "read_json_auto", "read_ndjson", "read_xlsx")


@dataclass(frozen=True)
class FileReader:
    """One call of a file reader. `files` is its first argument as written, such as `$files[1]`.

    `declared` has columns with the types that the call gives them; `call` is the call as SQL; `form` the kind of
    file; `separator` and `has_header` are those of a CSV file.
    """

    files: str
    declared: dict[str, str]
    declares_all: bool
    call: str
    form: str
    separator: str = ","
    has_header: bool = True

    def relation(self, observed: list[str] | None = None) -> Relation:
        """Give its columns: those observed in the file, or else those declared, perhaps not all."""
        if observed is not None:
            return table(self.files, observed)
        return table(self.files, self.declared, is_open=not self.declares_all)


def file_reader(node: exp.Expr) -> FileReader | None:
    """Read a table function of FROM as a file reader, or give None if it is another function."""
    if isinstance(node, _READERS):
        arguments = [node.this, *node.expressions] if node.this is not None else list(node.expressions)
    elif isinstance(node, exp.Anonymous) and node.name.lower() in _READER_NAMES:
        arguments = list(node.expressions)
    else:
        return None
    if not arguments:
        return None
    options = {
        part.this.name.lower(): part.expression
        for part in arguments[1:]
        if isinstance(part, (exp.EQ, exp.PropertyEQ, exp.Kwarg))
    }
    declared = {
        column: kind
        for name in ("columns", *_DECLARE_SOME)
        if isinstance(options.get(name), exp.Struct)
        for column, kind in _declared(options[name]).items()
    }
    separator = next((options[name].name for name in _SEPARATORS if name in options), ",")
    name = node.name.lower() if isinstance(node, exp.Anonymous) else node.key.lower()
    form = next((form for form in ("parquet", "json", "xlsx") if form in name.replace("ndjson", "json")), "csv")
    header = options.get("header")
    has_header = header is None or header.sql().upper() != "FALSE"
    declares_all = "columns" in options
    return FileReader(_written(arguments[0]), declared, declares_all, node.sql("duckdb"), form, separator, has_header)


def _written(node: exp.Expr) -> str:
    """Write a reader's first argument as its author did; sqlglot counts a list's items from 0."""
    if isinstance(node, exp.Bracket) and isinstance(node.this, exp.Placeholder):
        (index,) = node.expressions
        offset = 0 if node.args.get("offset") else 1
        return f"${node.this.name}[{int(index.name) + offset if index.is_int else index.sql('duckdb')}]"
    return f"${node.name}" if isinstance(node, exp.Placeholder) else node.sql("duckdb")


def _declared(node: exp.Struct) -> dict[str, str]:
    return {part.this.name: part.expression.name for part in node.expressions if isinstance(part, exp.PropertyEQ)}


def label_of(files: str, header: SourceHeader) -> str:
    """Name what a reader reads as people know it: the path in the source's header, its loader or its database."""
    if header.loader is not None:
        return f"loader:{header.loader}"
    if header.product is not None:
        return f"product:{header.product}"
    if header.database is not None:
        return f"database:{header.database}/{header.table or 'query'}"
    if isinstance(header.files, str):
        return header.files if files.startswith("$files") else files
    listed = header.files or []
    number = files.removeprefix("$files[").removesuffix("]")
    if number.isdigit() and 0 < int(number) <= len(listed):
        return listed[int(number) - 1]
    return ", ".join(listed) if files == "$files" else files
