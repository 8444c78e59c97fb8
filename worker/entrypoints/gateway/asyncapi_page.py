"""``/asyncapi``: the document for programs, and for a browser a page that needs nothing but itself."""

import json
import re
from functools import cache
from html import escape
from string import Template
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from contracts import asyncapi
from contracts.headers import JSON
from worker.entrypoints.gateway.openapi import ASYNCAPI

_POLICY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Vary": "Accept"}

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title over NATS</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid #8886; padding: .5rem 0; }
h2 { margin-top: 2.5rem; } h3 { margin: .5rem 0 0; font-size: 1rem; }
code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { background: #8881; padding: .75rem; overflow: auto; }
</style>
</head>
<body>
<h1>$title over NATS</h1>
$description
<p>For programs this address gives the AsyncAPI document, as JSON.</p>
<h2>Requests</h2>
$requests
<h2>Events and live state</h2>
$events
<h2>Schemas</h2>
$schemas
</body>
</html>
""")
_SECTION = Template("<section><h3><code>$address</code></h3><p>$summary</p>$more</section>")


def install(app: FastAPI) -> None:
    """Register the address."""

    async def answer(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(page(), headers=_POLICY)
        return Response(_as_json(), media_type=JSON, headers={"Vary": "Accept"})

    app.add_route(ASYNCAPI, answer)


@cache
def _as_json() -> bytes:
    return json.dumps(asyncapi.document()).encode()


@cache
def page() -> str:
    """The page, as HTML."""
    document = asyncapi.document()
    operations = document["operations"].items()
    return _PAGE.substitute(
        title=escape(document["info"]["title"]),
        description=_prose(document["info"]["description"]),
        requests="\n".join(_request(document, one) for _, one in operations if one["action"] == "receive"),
        events="\n".join(_event(document, one) for _, one in operations if one["action"] == "send"),
        schemas="\n".join(_schema(*one) for one in document["components"]["schemas"].items()),
    )


def _prose(text: str) -> str:
    """Paragraphs with code in backticks: as much of Markdown as the descriptions use."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text.strip()))
    return "".join(f"<p>{paragraph}</p>" for paragraph in marked.split("\n\n"))


def _request(document: dict[str, Any], operation: dict[str, Any]) -> str:
    asked = _messages(operation)[0]
    replies = _messages(operation["reply"])
    example = document["components"]["messages"][asked]["examples"][0]["payload"]
    return _section(document, operation, f"{_link(asked)} → {' or '.join(map(_link, replies))}", example)


def _event(document: dict[str, Any], operation: dict[str, Any]) -> str:
    parameters = document["channels"][_last(operation["channel"])]["parameters"]
    enums = {name: parameter["enum"] for name, parameter in parameters.items() if "enum" in parameter}
    return _section(document, operation, _link(_messages(operation)[0]), enums)


def _section(document: dict[str, Any], operation: dict[str, Any], line: str, shown: Any) -> str:
    channel = document["channels"][_last(operation["channel"])]
    return _SECTION.substitute(
        address=escape(channel["address"]),
        summary=escape(operation["summary"]),
        more=f"<p>{line}</p><pre>{escape(json.dumps(shown, indent=2))}</pre>",
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    text = escape(json.dumps(schema, indent=2))
    return f'<details id="{escape(name)}"><summary>{escape(name)}</summary><pre>{text}</pre></details>'


def _messages(holder: dict[str, Any]) -> list[str]:
    return [_last(message) for message in holder["messages"]]


def _last(reference: dict[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]


def _link(name: str) -> str:
    return f'<a href="#{escape(name)}"><code>{escape(name)}</code></a>'
