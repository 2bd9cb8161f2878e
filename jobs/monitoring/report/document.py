"""A document of sections, each with sentences and a table, as Markdown or as one HTML file that fetches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from warehouse.errors import UsageError

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid #ddd}
table{border-collapse:collapse;font-size:13px;margin:.5rem 0}td,th{padding:.2rem .6rem;text-align:right;
border-bottom:1px solid #eee}td:first-child,th:first-child{text-align:left}figure{margin:1rem 0}
figcaption{font-weight:600}svg{width:100%;height:auto;font:12px system-ui,sans-serif}.grid{stroke:#e6e6e6}
.level{stroke:#888;stroke-dasharray:5 4}.mark{stroke:#d55e00;stroke-width:2;opacity:.5}p.none{color:#777}
"""
#: What Markdown would take for its own in a sentence or a cell.
_OF_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>|#"} | {"\n": " "})


@dataclass(frozen=True)
class Section:
    """One section: a title, sentences, and a table whose rows have the same columns."""

    title: str
    sentences: Sequence[str] = ()
    rows: Sequence[Mapping[str, Any]] = field(default_factory=list)


def as_markdown(title: str, sections: Sequence[Section]) -> str:
    """Write a document as Markdown; what it names is escaped, so that no name changes the layout."""
    parts = [f"# {title.translate(_OF_MARKDOWN)}"]
    for section in sections:
        parts.append(f"## {section.title.translate(_OF_MARKDOWN)}")
        parts += [sentence.translate(_OF_MARKDOWN) for sentence in section.sentences]
        if section.rows:
            parts.append(_markdown_table(section.rows))
    return "\n\n".join(parts) + "\n"


def as_html(title: str, sections: Sequence[Section]) -> str:
    """Write a document as HTML."""
    body = [f"<h1>{escape(title)}</h1>"]
    for section in sections:
        body.append(f"<h2>{escape(section.title)}</h2>")
        body += [f"<p>{escape(sentence)}</p>" for sentence in section.sentences]
        body.append(html_table(section.rows, ""))
    return html_page(title, body)


def html_page(title: str, body: Sequence[str]) -> str:
    """Give a page of HTML around what was written."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'


def html_table(rows: Sequence[Mapping[str, Any]], none: str) -> str:
    """Give a table of HTML; without rows the sentence `none`."""
    if not rows:
        return f'<p class="none">{escape(none)}</p>' if none else ""
    heads = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in rows[0])
    lines = ("".join(f"<td>{escape(shown(value))}</td>" for value in row.values()) for row in rows)
    return f"<table><tr>{heads}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    heads = [name.replace("_", " ") for name in rows[0]]
    lines = [heads, ["---"] * len(heads)]
    lines += [[shown(value).translate(_OF_MARKDOWN) for value in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value: Any) -> str:
    """Write a value as people read it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def write_document(output: Path, text: str) -> Path:
    """Write a document to a file.

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--output {output}: cannot be written: {error.strerror}.") from error
    return output
