"""The AsyncAPI 3.0 document of everything that passes over NATS, generated from the contract."""

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from contracts import headers, subjects
from contracts.endpoints import ENDPOINTS, Endpoint
from contracts.environments import ENVIRONMENTS
from contracts.events import CloudEvent, DeploymentEventName, EntityEventName, LiveConfiguration
from contracts.examples import VALUES, example
from contracts.problems import NO_OUTCOMES, PROBLEMS, Code, Problem
from contracts.values import Request

VERSION = "1.0.0"
"""The version of the contract, which the documents carry: fields and subjects are added, none is changed."""

_SCHEMAS = "#/components/schemas/"
_MESSAGES = "#/components/messages/"

_DESCRIPTION = f"""\
Deploys, supersedes and rolls back entities.

Requests are core NATS request-reply with UTF-8 JSON bodies, answered by the queue group
`{subjects.QUEUE_GROUP}` on the request's own reply subject, which lies under
{" or ".join(f"`{prefix}`" for prefix in subjects.REPLY_PREFIXES)}. Every request gets exactly one reply: its
own message, or a problem (RFC 9457), told apart by the header `{headers.ERROR_CODE}`.

Every committed change is announced as a CloudEvent in the stream `{subjects.EVENTS_STREAM}`, and what is
active now stands in the key-value bucket `{subjects.ACTIVE_BUCKET}` under `<environment>.<entity_id>`: watch
that key to have the live configuration. The key is deleted when nothing is active.
"""


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


REQUEST_HEADERS: dict[str, dict[str, Any]] = {
    headers.IDEMPOTENCY_KEY: _text(
        "The first outcome under a key is stored with the change and given again for 24 hours.",
        minLength=1,
        maxLength=255,
        pattern=r"^[\x20-\x7e]+$",
    ),
    headers.MESSAGE_ID: _text("Stands in for an `Idempotency-Key`.", minLength=1, maxLength=255),
    headers.DEADLINE: _text(
        "The time (RFC 3339) after which the caller no longer waits; past it, nothing is executed.",
        format="date-time",
    ),
    headers.TRACEPARENT: _text("W3C trace context, carried through to the events."),
    headers.TRACESTATE: _text("W3C trace context, carried through to the events."),
}
REPLY_HEADERS: dict[str, dict[str, Any]] = {
    headers.REQUEST_ID: _text("The key, else the message id, else a generated id."),
    headers.REPLAYED: _text("`true` on an outcome that is given again for its key.", enum=["true"]),
}
RETRY_AFTER: dict[str, dict[str, Any]] = {
    headers.RETRY_AFTER: _text("Seconds to wait before asking again, with `busy` and `unavailable`."),
}
_TRANSPORT = {headers.TRANSPORT: _text("`http` on what came through the gateway.", enum=["http"])}
_PROBLEM_HEADERS = {
    headers.ERROR_CODE: _text("The status of the problem, such as `409`."),
    headers.ERROR: _text("The code of the problem, such as `deployment_in_progress`."),
}


class _EventChannel(NamedTuple):
    name: str
    title: str
    address: str
    events: Sequence[str]


_EVENT_CHANNELS = (
    _EventChannel(
        "deployment-events",
        "What happens to deployments",
        subjects.deployment_event("{event}", "{environment}", "{entity_id}"),
        get_args(DeploymentEventName),
    ),
    _EventChannel(
        "entity-events",
        "What happens to entities",
        subjects.entity_event("{event}", "{entity_id}"),
        get_args(EntityEventName),
    ),
    _EventChannel(
        "environment-events",
        "What happens to environments",
        subjects.environment_event("{event}", "{environment}"),
        ("updated",),
    ),
)
_LIVE = "live-configuration"


def document() -> dict[str, Any]:
    """The whole document, as JSON values; the same at every call."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Library",
            "version": VERSION,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": headers.JSON,
        "servers": {
            "local": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "Where `library up` listens unless told otherwise.",
            }
        },
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": _messages(),
            "schemas": schemas(CloudEvent, LiveConfiguration, ref=_SCHEMAS),
        },
    }


def schemas(*further: type[BaseModel], ref: str) -> dict[str, Any]:
    """The JSON Schemas of requests, replies, problem and ``further``, by name; ``ref`` starts each $ref."""
    modes: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
    for endpoint in ENDPOINTS:
        modes[endpoint.request, "validation"] = None
        modes[endpoint.reply, "serialization"] = None
    others: tuple[type[BaseModel], ...] = (Problem, *further)
    modes |= {(model, "serialization"): None for model in others}
    _, found = models_json_schema(list(modes), ref_template=ref + "{model}")
    definitions: dict[str, Any] = found["$defs"]
    return definitions


def problem_codes(endpoint: Endpoint) -> list[Code]:
    """Every code a worker may answer a request with, the endpoint's own first."""
    general = sorted(NO_OUTCOMES - {"no_answer", *(() if endpoint.writes else ("idempotency_key_reused",))})
    return [*endpoint.problems, *general]


def first_line(model: type[BaseModel]) -> str:
    """What a model says of itself in one line."""
    return (model.__doc__ or model.__name__).strip().partition("\n")[0]


def _channels() -> dict[str, Any]:
    channels: dict[str, Any] = {}
    for endpoint in ENDPOINTS:
        channels[endpoint.name] = {
            "address": endpoint.subject,
            "title": endpoint.summary,
            "messages": _named(endpoint.request),
        }
        channels[_reply_channel(endpoint)] = {
            "address": None,
            "title": f"Replies to {endpoint.subject}",
            "messages": _named(endpoint.reply, Problem),
        }
    for channel in _EVENT_CHANNELS:
        channels[channel.name] = {
            "address": channel.address,
            "title": channel.title,
            "description": f"Stored in the stream `{subjects.EVENTS_STREAM}`.",
            "parameters": _parameters(channel.address, channel.events),
            "messages": _named(CloudEvent),
        }
    key = subjects.active_key("{environment}", "{entity_id}")
    channels[_LIVE] = {
        "address": subjects.bucket_subject(subjects.ACTIVE_BUCKET, key),
        "title": "What is active for an entity in an environment now",
        "description": f"The key-value bucket `{subjects.ACTIVE_BUCKET}`, key `<environment>.<entity_id>`.",
        "parameters": _parameters(key, ()),
        "messages": _named(LiveConfiguration),
    }
    return channels


def _operations() -> dict[str, Any]:
    operations: dict[str, Any] = {endpoint.name: _operation(endpoint) for endpoint in ENDPOINTS}
    sent: list[tuple[str, str, type[BaseModel]]] = [
        *((channel.name, channel.title, CloudEvent) for channel in _EVENT_CHANNELS),
        (_LIVE, "What is active for an entity in an environment now", LiveConfiguration),
    ]
    for name, title, model in sent:
        operations[name] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": title,
            "messages": _listed(name, model),
        }
    return operations


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    codes = "\n".join(f"- `{code}`: {PROBLEMS[code].title}" for code in problem_codes(endpoint))
    reply = _reply_channel(endpoint)
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{endpoint.name}"},
        "summary": endpoint.summary,
        "description": f"Problems:\n\n{codes}",
        "messages": _listed(endpoint.name, endpoint.request),
        "bindings": {"nats": {"queue": subjects.QUEUE_GROUP}},
        "reply": {
            "channel": {"$ref": f"#/channels/{reply}"},
            "messages": _listed(reply, endpoint.reply, Problem),
        },
    }


def _messages() -> dict[str, Any]:
    messages: dict[str, Any] = {}
    for endpoint in ENDPOINTS:
        asked, answered = endpoint.request, endpoint.reply
        messages[asked.__name__] = _message(asked, REQUEST_HEADERS | _TRANSPORT) | _examples(asked)
        messages[answered.__name__] = _message(answered, REPLY_HEADERS, required=[headers.REQUEST_ID])
    messages[Problem.__name__] = _message(
        Problem,
        REPLY_HEADERS | _PROBLEM_HEADERS | RETRY_AFTER,
        required=[headers.REQUEST_ID, *_PROBLEM_HEADERS],
        content_type=headers.PROBLEM_JSON,
    )
    messages[CloudEvent.__name__] = _message(
        CloudEvent,
        {headers.MESSAGE_ID: _text("The event's `id`.", format="uuid")},
        required=[headers.MESSAGE_ID],
        content_type=headers.CLOUDEVENT_JSON,
    )
    messages[LiveConfiguration.__name__] = _message(LiveConfiguration, {})
    return messages


def _message(
    model: type[BaseModel],
    fields: dict[str, dict[str, Any]],
    *,
    required: Sequence[str] = (),
    content_type: str = headers.JSON,
) -> dict[str, Any]:
    return {
        "name": model.__name__,
        "title": model.__name__,
        "summary": first_line(model),
        "contentType": content_type,
        "headers": {"type": "object", "properties": fields, "required": list(required)},
        "payload": {"$ref": _SCHEMAS + model.__name__},
    }


def _examples(model: type[Request]) -> dict[str, Any]:
    return {"examples": [{"payload": example(model)}]}


def _parameters(address: str, events: Sequence[str]) -> dict[str, Any]:
    known: dict[str, dict[str, Any]] = {
        "event": {"description": "What happened.", "enum": list(events)},
        "environment": {"description": "The environment.", "enum": list(ENVIRONMENTS)},
        "entity_id": {"description": "The entity's id.", "examples": [VALUES["entity_id"]]},
    }
    return {name: parameter for name, parameter in known.items() if f"{{{name}}}" in address}


def _reply_channel(endpoint: Endpoint) -> str:
    return f"{endpoint.name}-reply"


def _named(*models: type[BaseModel]) -> dict[str, Any]:
    return {model.__name__: {"$ref": _MESSAGES + model.__name__} for model in models}


def _listed(channel: str, *models: type[BaseModel]) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/{channel}/messages/{model.__name__}"} for model in models]
