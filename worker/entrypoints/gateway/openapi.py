"""The OpenAPI 3.1 document of the HTTP side, generated from the table of endpoints."""

from collections import defaultdict
from typing import Any

from contracts import headers
from contracts.asyncapi import (
    REPLY_HEADERS,
    REQUEST_HEADERS,
    RETRY_AFTER,
    VERSION,
    first_line,
    problem_codes,
    schemas,
)
from contracts.endpoints import ENDPOINTS, Endpoint, Route
from contracts.entities import Entity
from contracts.examples import VALUES, example
from contracts.problems import PROBLEMS, Code
from contracts.subjects import STATUS_GET
from worker.entrypoints.gateway.health import HEALTH, READY
from worker.entrypoints.gateway.message_bodies import REVISION
from worker.entrypoints.gateway.request_headers import IF_MATCH

TITLE = "Library"
ASYNCAPI = "/asyncapi"

_SCHEMAS = "#/components/schemas/"
_DESCRIPTION = f"""\
Deploys, supersedes and rolls back entities.

Every request here is the message of the same body on a NATS subject, and is answered alike; `{ASYNCAPI}`
describes that side and the events. Refusals are problems (RFC 9457) with a `code`.
"""
_TAGS = {
    "deploy": ("deployments", "What runs where, what replaced it, and why."),
    "entity": ("entities", "What can be deployed."),
    "environment": ("environments", "Where deployments run, and by which rules."),
    "status": ("operation", "The state of the parts."),
}
_OPERATION = _TAGS["status"][0]
_HEALTH = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
_READINESS = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("status", "nats", "database", "worker")},
    "required": ["status", "nats", "database", "worker"],
}


def document() -> dict[str, Any]:
    """The whole document, as JSON values; the same at every call."""
    components = schemas(ref=_SCHEMAS)
    paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for endpoint in ENDPOINTS:
        for number, route in enumerate(endpoint.routes):
            operation = _operation(endpoint, route, components)
            if number:
                operation["operationId"] += f"-{number + 1}"
            paths[route.path][route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": VERSION,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": description} for name, description in _TAGS.values()],
        "paths": {**paths, **_own_paths()},
        "components": {
            "schemas": components,
            "parameters": {
                name: {"name": name, "in": "header", "required": False, **_described(schema)}
                for name, schema in REQUEST_HEADERS.items()
            },
            "headers": {name: _described(schema) for name, schema in (REPLY_HEADERS | RETRY_AFTER).items()},
        },
    }


def _operation(endpoint: Endpoint, route: Route, components: dict[str, Any]) -> dict[str, Any]:
    schema = components[endpoint.request.__name__]
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "tags": [_tag(endpoint)],
        "summary": endpoint.summary,
        "description": f"{schema['description']}\n\nThe NATS subject is `{endpoint.subject}`.",
        "parameters": _parameters(endpoint, route, schema),
        "responses": _responses(endpoint, route),
    }
    if route.takes_body:
        operation["requestBody"] = {
            "required": True,
            "content": {headers.JSON: _body(endpoint, route, components)},
        }
    return operation


def _tag(endpoint: Endpoint) -> str:
    kind = endpoint.subject.split(".")[1]
    return _TAGS.get(kind, (kind, ""))[0]


def _in_path(route: Route, schema: dict[str, Any]) -> list[str]:
    return [name for name in schema.get("properties", ()) if f"{{{name}}}" in route.path]


def _parameters(endpoint: Endpoint, route: Route, schema: dict[str, Any]) -> list[dict[str, Any]]:
    properties: dict[str, dict[str, Any]] = schema.get("properties", {})
    in_path = _in_path(route, schema)
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _plain(properties[name])} for name in in_path
    ]
    if not route.takes_body:
        found += [
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "schema": _plain(properties[name]),
            }
            for name in properties
            if name not in in_path
        ]
    for parameter in found:
        if parameter["name"] in VALUES and parameter["required"]:
            parameter["example"] = VALUES[parameter["name"]]
    if route.takes_body and REVISION in properties:
        found.append(_if_match())
    keys = (headers.IDEMPOTENCY_KEY, headers.MESSAGE_ID)
    found += [
        {"$ref": f"#/components/parameters/{name}"}
        for name in REQUEST_HEADERS
        if endpoint.writes or name not in keys
    ]
    return found


def _if_match() -> dict[str, Any]:
    text = f'The revision that must still be the current one, such as `"3"`: `{REVISION}` as a header.'
    return {
        "name": IF_MATCH,
        "in": "header",
        "required": False,
        "description": text,
        "schema": {"type": "string"},
    }


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A field's schema outside of JSON, where there is no null."""
    plain = {
        name: value
        for name, value in schema.items()
        if name != "title" and (name, value) != ("default", None)
    }
    kinds = [kind for kind in plain.pop("anyOf", ()) if kind != {"type": "null"}]
    return plain | kinds[0] if len(kinds) == 1 else plain


def _body(endpoint: Endpoint, route: Route, components: dict[str, Any]) -> dict[str, Any]:
    """The schema of the JSON body: the request without what the path holds."""
    name = endpoint.request.__name__
    whole = components[name]
    in_path = _in_path(route, whole)
    shown = {field: value for field, value in example(endpoint.request).items() if field not in in_path}
    if in_path:
        name = f"{name.removesuffix('Request')}Body"
        components[name] = whole | {
            "title": name,
            "properties": {k: v for k, v in whole["properties"].items() if k not in in_path},
            "required": [field for field in whole.get("required", ()) if field not in in_path],
        }
    return {"schema": {"$ref": _SCHEMAS + name}, "example": shown}


def _responses(endpoint: Endpoint, route: Route) -> dict[str, Any]:
    reply = endpoint.reply
    given = [headers.REQUEST_ID, *((headers.REPLAYED,) if endpoint.writes else ())]
    success: dict[str, Any] = {
        "description": first_line(reply),
        "headers": _headers(*given),
        "content": {headers.JSON: {"schema": {"$ref": _SCHEMAS + reply.__name__}}},
    }
    if reply is Entity:
        success["headers"]["ETag"] = {
            "description": "The entity's revision, for `If-Match`.",
            "schema": {"type": "string"},
        }
    responses = {str(route.status): success}
    if endpoint.subject == STATUS_GET:
        responses["503"] = success | {"description": "Nobody can say more than this; the rest is `unknown`."}
    by_status: defaultdict[int, list[Code]] = defaultdict(list)
    for code in [*problem_codes(endpoint), "no_answer"]:
        by_status[PROBLEMS[code].status].append(code)
    for status, codes in sorted(by_status.items()):
        responses.setdefault(str(status), _problem(codes))
    return responses


def _problem(codes: list[Code]) -> dict[str, Any]:
    names = [headers.REQUEST_ID]
    if {"busy", "unavailable"} & set(codes):
        names.append(headers.RETRY_AFTER)
    return {
        "description": "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes),
        "headers": _headers(*names),
        "content": {headers.PROBLEM_JSON: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}},
    }


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": schema["description"],
        "schema": {name: value for name, value in schema.items() if name != "description"},
    }


def _own_paths() -> dict[str, Any]:
    """What the gateway answers by itself."""
    ready = "NATS, the database and a worker answer"
    return {
        HEALTH: {"get": _own("health", "Whether the process is up", {"200": ("It is up", _HEALTH)})},
        READY: {
            "get": _own(
                "ready",
                "Whether requests would be served",
                {"200": (ready, _READINESS), "503": (f"Not all of them: {ready}", _READINESS)},
            )
        },
        ASYNCAPI: {
            "get": _own(
                "asyncapi",
                "The NATS side: the AsyncAPI document, for a browser as a page",
                {"200": ("The document", {"type": "object"})},
            )
        },
    }


def _own(name: str, summary: str, responses: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": [_OPERATION],
        "summary": summary,
        "responses": {
            status: {"description": description, "content": {headers.JSON: {"schema": schema}}}
            for status, (description, schema) in responses.items()
        },
    }
