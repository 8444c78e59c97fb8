"""The alert rules and the dashboard ask for metrics that there are, in expressions that Prometheus takes."""

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.metrics import METRICS

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "library.rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "library.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
DRAWN = [panel for panel in PANELS if panel["type"] != "row"]
QUERIES: list[str] = [target["expr"] for panel in DRAWN for target in panel["targets"]]
SHOWN = {
    metric.name + suffix
    for metric in METRICS
    for suffix in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
}
promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian's package prometheus)"
)


def check(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in RULES), *QUERIES])
def test_an_expression_names_metrics_that_the_gateway_shows(expression):
    named = set(re.findall(r"\blibrary_\w+", expression))
    assert named <= SHOWN
    assert named or "up{" in expression


def test_the_dashboard_draws_every_metric_that_the_contract_has():
    drawn = " ".join(QUERIES)
    assert [metric.name for metric in METRICS if metric.name not in drawn] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_what_to_do_and_where_that_is_written(rule):
    assert rule["labels"]["severity"] in ("critical", "warning")
    notes = rule["annotations"]
    assert all(notes[name] for name in ("summary", "description", "action"))
    page, _, anchor = notes["runbook"].partition("#")
    assert anchor in anchors(ROOT / page)


def test_every_alert_has_a_case_in_which_it_fires():
    text = (PROMETHEUS / "library.rules.test.yaml").read_text()
    assert {f"{rule['alert']} fires" for rule in RULES} == set(re.findall(r"name: (\w+ fires)", text))


def test_panels_have_ids_of_their_own_units_and_a_source_that_can_be_chosen():
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert [variable["type"] for variable in DASHBOARD["templating"]["list"]] == ["datasource"]
    for panel in DRAWN:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_no_panel_lies_on_another():
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


@promtool
def test_prometheus_takes_configuration_and_rules_and_alerts_fire_as_they_should():
    check("check", "config", PROMETHEUS / "prometheus.yaml")
    check("check", "rules", PROMETHEUS / "library.rules.yaml")
    check("test", "rules", PROMETHEUS / "library.rules.test.yaml")


@promtool
def test_prometheus_takes_every_query_of_the_dashboard(tmp_path):
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    check("check", "rules", file)
