"""The page about metrics names each of them, as the contract has it."""

from pathlib import Path

import pytest

from contracts.metrics import METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_stands_in_the_page_with_its_type_labels_and_help(metric):
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"

    assert f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |" in PAGE
