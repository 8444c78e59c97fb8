"""JSON Schemas that editors fetch."""

from fastapi import FastAPI, Request, Response
from pydantic_core import to_json

from contracts import manifest

MANIFEST = "/schemas/manifest.json"


def install(app: FastAPI) -> None:
    """Register the schema of manifests."""
    body = to_json(manifest.schema(), indent=2)

    async def show(_: Request) -> Response:
        return Response(body, media_type="application/schema+json")

    app.add_route(MANIFEST, show, include_in_schema=False)
