"""What the service says of itself: as OpenAPI 3.1, and as a page for people, with nothing from elsewhere in it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from jobs.bundles.bundle_reader import Manifest
from jobs.bundles.key_columns import KeyColumn
from jobs.web.settings import MOST_KEYS

_BEYOND = "For an entity that no page has."
#: A number that is given as text.
_NUMBER = r"^[+-]?[0-9]{1,60}(\.[0-9]{1,60})?$"
#: Of a DOUBLE, which can have an exponent.
_REAL = r"^[+-]?[0-9]{1,60}(\.[0-9]{1,60})?([eE][+-]?[0-9]{1,2})?$"
_LARGEST = {"minimum": -(2**63), "maximum": 2**63 - 1}
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_MADE = {
    "as_of": "The page: only facts known before this instant were used (UTC).",
    "valid_until": "Until when the prediction is valid (UTC).",
    "published_at": "When the page was published (UTC).",
    "model_version": "The version of the model that made the prediction.",
    "arm": "Which version of a rollout served it; of products that have had one.",
    "run_id": "The run that made the page.",
    "hindsight": "Whether the version knew labels that were not known at `as_of`.",
}
_ERROR = {
    "description": "Refused; `error` says why.",
    "content": {
        "application/json": {
            "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
        }
    },
}
_REFUSALS = {
    400: "The keys are not the product's.",
    401: "No token, or a wrong one.",
    404: "There is nothing.",
    413: "Too much was asked for at once.",
    429: "Too much was asked for in a second.",
    503: "No bundle is held.",
}


def description(manifests: Sequence[Manifest], *, has_token: bool) -> dict[str, Any]:
    """Describe the service that holds bundles with these manifests."""
    paths: dict[str, Any] = {}
    for each in sorted(manifests, key=lambda manifest: manifest.product):
        paths[f"/v1/{each.product}/predictions"] = {"get": _get(each), "post": _post(each)}
    paths["/readyz"] = {"get": {"summary": "Whether anything valid is served.", "responses": {
        "200": {"description": "Something is."}, "503": {"description": "Nothing is."}}}}  # fmt: skip
    paths["/metrics"] = {"get": {"summary": "Counts, for Prometheus.", "responses": {
        "200": {"description": "Prometheus' text format."}}}}  # fmt: skip
    said: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Almanac: predictions", "version": version("almanac")},
        "paths": paths,
    }
    if has_token:
        said["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        said["security"] = [{"token": []}]
    return said


def _schema(key: KeyColumn) -> dict[str, Any]:
    if key.type in _WHOLE:
        return {"type": "integer"}
    if key.type == "BOOLEAN":
        return {"type": "boolean"}
    if key.type == "DATE":
        return {"type": "string", "format": "date"}
    if key.type == "TIMESTAMP":
        return {"type": "string", "format": "date-time"}
    if key.type == "DOUBLE":
        return {"type": "number"}
    if key.type == "VARCHAR":
        return {"type": "string"}
    pattern = {"UUID": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"}
    return {"type": "string", "pattern": pattern.get(key.type, r"^[+-]?[0-9]{1,60}$")}


def _answer(manifest: Manifest) -> dict[str, Any]:
    keys = {key.name: {"description": key.expected} for key in manifest.keys}
    predicted = {name: {"description": kind} for name, kind in manifest.columns.items()}
    return {
        "type": "object",
        "required": ["made"],
        "properties": {
            "product": {"type": "string"},
            "snapshot_id": {"type": "integer", "description": "The publication."},
            "keys": {"type": "object", "properties": keys},
            "made": {"type": "string", "description": "page, on demand, fallback LEVEL, expired or nothing"},
            **{name: {"description": told} for name, told in _MADE.items()},
            **predicted,
        },
    }


def _responses(schema: dict[str, Any], only: Sequence[int]) -> dict[str, Any]:
    told = {str(status): {**_ERROR, "description": _REFUSALS[status]} for status in only}
    answered = {"description": "What was found.", "content": {"application/json": {"schema": schema}}}
    return {"200": answered, **told}


def _beyond(manifest: Manifest) -> list[KeyColumn]:
    """Give the columns by which entities are looked up that no page has, besides the keys."""
    keys = {key.name for key in manifest.keys}
    scored_by = manifest.on_demand.columns if manifest.on_demand else ()
    columns = {key.name: key for key in (*manifest.fallback_columns, *scored_by)}
    return [key for name, key in columns.items() if name not in keys]


def _bounded(manifest: Manifest, key: KeyColumn) -> dict[str, Any]:
    """Describe a column of a request: one that entities are scored by, keys too, refuses what it cannot hold."""
    schema = _schema(key)
    is_asked = manifest.on_demand is not None and key in (*manifest.keys, *manifest.on_demand.columns)
    return {**schema, **_LARGEST} if is_asked and schema["type"] == "integer" else schema


def _in_body(manifest: Manifest, key: KeyColumn) -> dict[str, Any]:
    """Describe a value in a body: numbers may be text, and a column may be NULL (a key that is finds nothing)."""
    schema = _bounded(manifest, key)
    if schema["type"] == "boolean":
        return {"enum": [True, False, "true", "false", None]}
    if key.type == "DOUBLE":
        return {"type": ["number", "string", "null"], "pattern": _REAL}
    if schema["type"] == "string" and (key.type == "UUID" or "pattern" not in schema):
        return {**schema, "type": ["string", "null"]}
    if "minimum" in schema:
        return {**schema, "type": ["integer", "string", "null"], "pattern": "^[+-]?[0-9]{1,18}$"}
    # A number that is not whole is no integer column's: it finds nothing.
    return {"type": ["number", "string", "null"], "pattern": _NUMBER}


def _get(manifest: Manifest) -> dict[str, Any]:
    required = {*manifest.list_keys} if manifest.list_keys else {key.name for key in manifest.keys}
    parameters = [
        {
            "name": key.name,
            "in": "query",
            "required": key.name in required,
            "schema": _bounded(manifest, key),
            "description": key.expected,
        }
        for key in manifest.keys
    ]
    parameters += [
        {"name": key.name, "in": "query", "required": False, "schema": _bounded(manifest, key), "description": _BEYOND}
        for key in _beyond(manifest)
    ]
    of_list = {"type": "object", "required": ["product", "snapshot_id", "made"]}
    found = of_list if manifest.list_keys else _answer(manifest)
    responses = _responses(found, (400, 401, 429, 503))
    content = {"application/json": {"schema": {"type": "object"}}}
    responses |= {
        "304": {"description": "The client has this answer (ETag)."},
        "404": {"description": "No page has the entity.", "content": content},
        "410": {"description": "What was predicted has expired.", "content": content},
    }
    what = "Look up a list, or one entry of it" if manifest.list_keys else "Look up one entity"
    return {"summary": what, "parameters": parameters, "responses": responses}


def _post(manifest: Manifest) -> dict[str, Any]:
    entity = {
        "type": "object",
        "required": [key.name for key in manifest.keys],
        "properties": {key.name: _in_body(manifest, key) for key in [*manifest.keys, *_beyond(manifest)]},
        "additionalProperties": False,
    }
    asked = {
        "type": "object",
        "required": ["keys"],
        "properties": {"keys": {"type": "array", "maxItems": MOST_KEYS, "items": entity}},
        "additionalProperties": False,
    }
    answered = {
        "type": "object",
        "required": ["product", "snapshot_id", "predictions"],
        "properties": {"predictions": {"type": "array", "items": _answer(manifest)}},
    }
    return {
        "summary": f"Look up to {MOST_KEYS} entities up; the answers stand in the order of the keys",
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": _responses(answered, (400, 401, 404, 413, 429, 503)),
    }


def page(manifests: Sequence[Manifest]) -> str:
    """Describe the service for people."""
    parts = []
    for each in sorted(manifests, key=lambda manifest: manifest.product):
        path = f"/v1/{each.product}/predictions"
        keys = "".join(f"<tr><td><code>{html.escape(k.name)}</code><td>{html.escape(k.expected)}" for k in each.keys)
        predicted = ", ".join(f"<code>{html.escape(name)}</code>" for name in each.columns)
        parts.append(
            f"<h2>{html.escape(each.product)}</h2><p><code>GET {html.escape(path)}?KEY=VALUE&amp;...</code>,"
            f' <code>POST {html.escape(path)}</code> <code>{{"keys": [{{...}}, ...]}}</code></p>'
            f"<table><tr><th>key<th>expected{keys}</table><p>Predicted: {predicted}. Page {each.as_of} (UTC),"
            f" snapshot {each.snapshot_id}, {each.n_rows} rows.</p>"
        )
    return (
        '<!doctype html><meta charset="utf-8"><title>Almanac</title><h1>Predictions</h1>'
        f'{"".join(parts)}<p><a href="/openapi.json">OpenAPI</a>, <a href="/readyz">readiness</a>,'
        ' <a href="/metrics">metrics</a></p>'
    )
