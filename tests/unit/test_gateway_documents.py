import json
import re

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from contracts import asyncapi, subjects
from contracts.endpoints import ENDPOINTS
from contracts.examples import example
from contracts.parsing import parse
from contracts.problems import PROBLEMS
from worker.entrypoints.gateway import asyncapi_page, documents, openapi

ROUTES = [(endpoint, route) for endpoint in ENDPOINTS for route in endpoint.routes]
REQUESTS = sorted({endpoint.request for endpoint in ENDPOINTS}, key=lambda model: model.__name__)


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(document, reference):
    found = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


@pytest.mark.parametrize("generate", [asyncapi.document, openapi.document])
def test_every_reference_of_a_document_leads_somewhere_in_it(generate):
    document = generate()
    found = set(references(document))
    assert found
    for reference in found:
        assert resolve(document, reference)


@pytest.mark.parametrize("generate", [asyncapi.document, openapi.document])
def test_every_schema_of_a_document_is_json_schema(generate):
    for schema in generate()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("model", REQUESTS)
def test_the_example_of_a_request_is_one_that_a_worker_takes(model):
    parse(model, json.dumps(example(model)).encode())


def test_openapi_is_valid():
    validate(openapi.document())


@pytest.mark.parametrize(("endpoint", "route"), ROUTES, ids=lambda value: getattr(value, "path", ""))
def test_openapi_describes_every_route_with_its_body_reply_and_refusals(endpoint, route):
    document = openapi.document()
    operation = document["paths"][route.path][route.method.lower()]
    success = operation["responses"][str(route.status)]["content"]["application/json"]["schema"]
    assert success == {"$ref": f"#/components/schemas/{endpoint.reply.__name__}"}
    described = {
        code
        for response in operation["responses"].values()
        for code in re.findall(r"`(\w+)`", response["description"])
    }
    expected = {*endpoint.problems, "invalid_request", "busy", "unavailable", "internal_error", "no_answer"}
    if endpoint.subject == subjects.STATUS_GET:  # where nobody answers, it answers by itself
        expected -= {"busy", "unavailable"}
    assert expected <= described
    assert {"200", "201"} & set(operation["responses"]) == {str(route.status)}
    in_path = {parameter["name"] for parameter in operation["parameters"] if parameter.get("in") == "path"}
    assert in_path == set(re.findall(r"{(\w+)}", route.path))
    assert ("requestBody" in operation) == route.takes_body


@pytest.mark.parametrize(("endpoint", "route"), ROUTES, ids=lambda value: getattr(value, "path", ""))
def test_every_field_of_a_request_stands_once_in_the_path_the_query_or_the_body(endpoint, route):
    document = openapi.document()
    operation = document["paths"][route.path][route.method.lower()]
    places = [p["name"] for p in operation["parameters"] if p.get("in") in ("path", "query")]
    if route.takes_body:
        body = operation["requestBody"]["content"]["application/json"]
        schema = resolve(document, body["schema"]["$ref"])
        places += schema["properties"]
        Draft202012Validator(schema | {"components": document["components"]}).validate(body["example"])
    assert sorted(places) == sorted(endpoint.request.model_fields)


def test_operation_ids_are_unique():
    paths = openapi.document()["paths"].values()
    found = [operation["operationId"] for path in paths for operation in path.values()]
    assert len(found) == len(set(found))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.subject)
def test_asyncapi_describes_every_subject_with_its_request_its_reply_and_its_problem(endpoint):
    document = asyncapi.document()
    operation = document["operations"][endpoint.name]
    assert operation["action"] == "receive"
    assert resolve(document, operation["channel"]["$ref"])["address"] == endpoint.subject
    payloads = [
        resolve(document, resolve(document, message["$ref"])["$ref"])["payload"]["$ref"].rpartition("/")[2]
        for message in (*operation["messages"], *operation["reply"]["messages"])
    ]
    assert payloads == [endpoint.request.__name__, endpoint.reply.__name__, "Problem"]
    assert resolve(document, operation["reply"]["channel"]["$ref"])["address"] is None
    assert all(f"`{code}`" in operation["description"] for code in endpoint.problems)


def test_asyncapi_gives_every_parameter_of_an_address():
    for channel in asyncapi.document()["channels"].values():
        names = re.findall(r"{(\w+)}", channel["address"] or "")
        assert list(channel.get("parameters", ())) == names


def test_asyncapi_tells_where_events_and_the_live_configuration_are():
    document = asyncapi.document()
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert subjects.deployment_event("{event}", "{environment}", "{entity_id}") in addresses
    assert subjects.ACTIVE_BUCKET in document["info"]["description"]


def test_every_problem_code_is_in_both_documents():
    for generate in (asyncapi.document, openapi.document):
        assert generate()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == list(PROBLEMS)


def test_the_page_needs_nothing_but_itself_and_names_every_subject():
    page = asyncapi_page.page()
    assert "<script" not in page
    targets = re.findall(r"(?:src|href)\s*=\s*([^\s>]*)", page)
    assert targets
    assert all(target.startswith('"#') for target in targets)
    assert "url(" not in page
    for endpoint in ENDPOINTS:
        assert f"<code>{endpoint.subject}</code>" in page
        assert f'href="#{endpoint.reply.__name__}"' in page


def test_the_documents_are_the_same_at_every_call():
    assert documents.documents() == documents.documents()


def test_a_document_that_is_missing_or_says_something_else_is_stale_until_it_is_written(tmp_path):
    directory = tmp_path / "docs" / "reference"
    assert [path.name for path in documents.stale(directory)] == [
        "asyncapi.json",
        "openapi.json",
        "manifest.schema.json",
    ]
    documents.write(directory)
    assert documents.stale(directory) == []
    (directory / "openapi.json").write_text("{}")
    assert [path.name for path in documents.stale(directory)] == ["openapi.json"]
