"""The pages of the dashboard, as any browser gets them."""

import re
import urllib.error
import urllib.request
from urllib.parse import quote
from uuid import uuid4

import pytest

OUR_SCRIPTS = {
    '<script src="/static/library.js">',
    '<script src="/static/vendor/htmx.min.js" defer>',
    '<script src="/static/vendor/sse.min.js" defer>',
}
FOREIGN = re.compile(r"""(?:src|href|action)\s*=\s*["']?\s*(?:[a-z]+:)?//""", re.IGNORECASE)


def page(system, path):
    """Status, headers and text."""
    try:
        with urllib.request.urlopen(system.http_url + path, timeout=10) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


async def test_a_deployed_entity_is_shown_with_its_version(system, caller):
    entity = await caller.create(version="4.5.6")
    deployment = await caller.deploy(entity, "production")

    status, _, text = page(system, f"/?from_name={entity['name']}")

    assert status == 200
    assert entity["name"] in text
    assert f'href="/deployments/{deployment["deployment_id"]}">4.5.6</a>' in text


async def test_every_page_has_a_policy_and_names_nothing_foreign(system, caller):
    deployment = await caller.deploy(await caller.create())
    for path in (
        "/",
        "/deployments",
        f"/deployments/{deployment['deployment_id']}",
        f"/deployments/{uuid4()}",
    ):
        _, headers, text = page(system, path)

        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Content-Type"].startswith("text/html")
        assert headers["Cache-Control"] == "no-store"
        assert not FOREIGN.search(text)
        assert set(re.findall(r"<script[^>]*>", text)) == OUR_SCRIPTS
        assert not re.search(r"\son[a-z]+=", text)
        assert " style=" not in text


async def test_a_deployment_is_shown_with_its_history_and_what_it_was_deployed_with(system, caller):
    entity = await caller.create()
    first = await caller.deploy(entity)
    second = await caller.deploy(entity, parameters_override={"window": 20})
    await caller.rollback(second, reason="it lost money")

    status, _, text = page(system, f"/deployments/{second['deployment_id']}")

    assert status == 200
    for shown in (
        entity["name"],
        "rolled_back",
        "it lost money",
        "completed",
        "window",
        first["deployment_id"],
    ):
        assert shown in text, shown


async def test_the_list_is_filtered_and_goes_on_by_cursor(system, caller):
    entity = await caller.create()
    for _ in range(52):
        await caller.deploy(entity)

    _, _, text = page(system, f"/deployments?entity_id={entity['entity_id']}&environment=&status=inactive")
    onward = re.search(r'rel="next" href="([^"]+)"', text)
    assert text.count('scope="row"') == 50
    _, _, rest = page(system, onward[1].replace("&amp;", "&"))

    assert rest.count('scope="row"') == 1
    assert 'class="state active"' not in text + rest


async def test_the_list_is_filtered_by_the_entity_s_name_or_its_id(system, caller):
    entity, other = await caller.create(name=f"pairs & energy {uuid4()}"), await caller.create()
    for _ in range(51):
        await caller.deploy(entity)
    await caller.deploy(other)

    for wanted in (entity["name"], f" {entity['name']} ", entity["entity_id"]):
        status, _, text = page(system, f"/deployments?entity={quote(wanted)}&environment=&status=")
        assert status == 200
        assert set(re.findall(r'scope="row".*?>([^<]+)</a>', text)) == {entity["name"].replace("&", "&amp;")}
    onward = re.search(r'rel="next" href="([^"]+)"', text)
    assert page(system, onward[1].replace("&amp;", "&"))[2].count('scope="row"') == 1
    assert other["name"] in page(system, f"/deployments?entity_id={other['entity_id']}")[2]


@pytest.mark.parametrize("name", ["nobody <b>", "00000000-0000-7000-8000-000000000000-not-an-id"])
def test_a_name_that_nobody_has_is_said_so(system, name):
    status, headers, text = page(system, f"/deployments?entity={quote(name)}")

    assert status == 200
    assert f'role="alert">No entity is called {name.replace("<", "&lt;").replace(">", "&gt;")}.' in text
    assert "<table" not in text
    assert "Content-Security-Policy" in headers


async def test_hostile_names_reach_the_page_as_text(system, caller):
    hostile = f"<script>alert(1)</script>\"'&{uuid4()}"
    entity = await caller.create(name=hostile, config={"</pre><img src=x>": "<b>"})
    deployment = await caller.deploy(entity, reason="<i>why</i>")

    for path in (f"/?from_name={quote(hostile)}", f"/deployments/{deployment['deployment_id']}"):
        status, _, text = page(system, path)
        assert status == 200
        assert "&lt;script&gt;" in text
        assert not {"<script>", "<img", "<i>", "<b>"} & set(re.findall(r"<[a-z]+>?", text))


async def test_what_cannot_be_shown_is_a_page_that_says_why(system):
    for path, expected, said in (
        (f"/deployments/{uuid4()}", 404, "Deployment not found"),
        ("/deployments/none", 422, "deployment_id"),
        ("/deployments?environment=moon", 422, "environment"),
        ("/?cursor=%25", 422, "cursor"),
    ):
        status, _, text = page(system, path)
        assert (status, said in text) == (expected, True), path


def test_without_a_worker_the_page_says_so(own_system):
    own_system.start_servers()
    own_system.start_gateway().wait_for_line("nats_connected")

    status, headers, text = page(own_system, "/")

    assert status == 503
    assert "No worker is running" in text
    assert "Content-Security-Policy" in headers


def test_what_the_pages_are_made_of_comes_from_here(system):
    for name, kind in (
        ("library.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
        ("library.js", "text/javascript"),
        ("vendor/htmx.min.js", "text/javascript"),
        ("vendor/sse.min.js", "text/javascript"),
    ):
        status, headers, text = page(system, f"/static/{name}")
        assert (status, headers["Content-Type"].split(";")[0]) == (200, kind)
        assert kind == "text/javascript" or "url(" not in text
