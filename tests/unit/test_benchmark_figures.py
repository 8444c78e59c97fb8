"""The benchmark's arithmetic, its page and its picture."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import asking, load, page, pgbench, picture, processor, report
from benchmarks.measures import Figures, Run, median_by_name, median_of, percentile, ratio

SVG = "{http://www.w3.org/2000/svg}"


def figures(rate: float, p50: float = 1.0) -> Figures:
    return Figures(rate, p50, p50 * 2, p50 * 3)


def measured(title: str, rates: list[float], p50: float) -> report.Measured:
    rounds = [report.Round(figures(rate, p50), {"worker": 100.0, "generator": 20.0}, 0.05) for rate in rates]
    return report.Measured(title, {1: rounds, 64: rounds}, 10, 5)


@pytest.fixture
def found() -> report.Report:
    machine = report.Machine("A & B", 2, 4, "Linux", "3.11", {"uvicorn": "1"})
    contestants = {
        "product": measured("library", [3000.0, 2000.0, 1000.0], 2.0),
        "seed": measured("the seed's <service>", [100.0, 100.0, 100.0], 8.0),
        "postgresql": measured("PostgreSQL alone", [6000.0, 5000.0, 4000.0], 1.0),
    }
    swaps = {"confirmed": [figures(9.0, p50) for p50 in (7.0, 5.0, 6.0)]}
    return report.Report("2026-01-01 00:00 UTC", machine, 3, 5.0, 2000, contestants, swaps)


def test_a_percentile_is_its_nearest_rank():
    hundred = [float(number) for number in range(1, 101)]
    assert [percentile(hundred, share) for share in (0.5, 0.99, 0.999, 1.0)] == [50, 99, 100, 100]
    assert percentile([7.0], 0.5) == 7


def test_nothing_measured_has_no_percentile():
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_a_run_counts_a_second_and_tells_milliseconds():
    assert Run([0.003, 0.001, 0.002], 1.5).figures == Figures(2.0, 2.0, 3.0, 3.0)


def test_the_median_round_is_taken_figure_by_figure():
    rounds = [Figures(1, 30, 5, 9), Figures(3, 10, 6, 8), Figures(2, 20, 4, 7)]
    assert median_of(rounds) == Figures(2, 20, 5, 8)


def test_a_kind_of_process_that_a_round_lacks_spent_nothing_there():
    assert median_by_name([{"a": 4.0}, {"a": 6.0, "b": 2.0}, {"a": 5.0}]) == {"a": 5.0, "b": 0.0}


def test_a_ratio_is_of_values_of_one_round():
    slowing = ratio([300.0, 200.0, 100.0], [30.0, 10.0, 10.0])
    assert (slowing.median, slowing.lowest, slowing.highest) == (10.0, 10.0, 20.0)


def test_microseconds_are_of_what_was_spent_in_between():
    each = processor.each({"worker": 1.0, "idle": 3.0}, {"worker": 1.5, "idle": 3.0, "new": 1.0}, 1000)
    assert list(each.items()) == [("new", 1000.0), ("worker", 500.0)]


def test_an_answer_about_another_entity_or_another_state_is_wrong():
    right = {
        "entity_id": "a",
        "environment": load.ENVIRONMENT,
        "status": "active",
        "config_snapshot": load.CONFIG,
    }
    asking.require_deployed("a", json.dumps(right).encode())
    for changed in (
        {"entity_id": "b"},
        {"environment": "production"},
        {"status": "inactive"},
        {"config_snapshot": {}},
    ):
        with pytest.raises(asking.WrongAnswerError):
            asking.require_deployed("a", json.dumps({**right, **changed}).encode())


async def test_callers_stop_at_the_first_failure():
    async def refuse() -> None:
        raise asking.WrongAnswerError("no")

    with pytest.raises(ExceptionGroup):
        await load.loop(refuse, callers=2, seconds=60)


def test_pgbench_must_have_logged_every_transaction():
    text = "number of transactions actually processed: 2\ntps = 4.0 (without initial connection time)\n"
    assert pgbench.read(text, "0 1 1500 0 1 1\n1 1 2500 0 1 1\n") == Run([0.0015, 0.0025], 0.5)
    with pytest.raises(pgbench.PgbenchError):
        pgbench.read(text, "0 1 1500 0 1 1\n")


def test_figures_are_read_as_they_were_written(found: report.Report, tmp_path: Path):
    report.write(found, tmp_path / "new" / "bench.json")
    assert report.read(tmp_path / "new" / "bench.json") == found


def test_the_last_line_has_the_ratios(found: report.Report):
    line = report.last_line(found.ratios())
    assert "20.0 times the seed's service" in line
    assert "0.40 of PostgreSQL alone" in line
    assert "lone p50 0.25 of the seed's" in line


def test_without_peers_there_are_no_ratios(found: report.Report):
    del found.contestants["seed"], found.contestants["postgresql"]
    assert report.last_line(found.ratios()) == "ratios: none, for want of a peer"


def test_the_page_is_filled_between_its_marks_and_filled_again_the_same(found: report.Report):
    names = ("ratios", "rates", "latencies", "processors", "swaps", "machine")
    marks = [f"<!-- {name}: written by make bench -->\nold\n<!-- end of {name} -->" for name in names]
    once = page.filled("before\n" + "\n".join(marks) + "\nafter\n", found)
    assert once == page.filled(once, found)
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "old" not in once
    assert "| **20.0** | 10.0 to 30.0 | at least 15 | 25 |" in once
    assert "| confirmed | 6.00 | 12.0 |" in once


def test_a_missing_mark_is_an_error(found: report.Report):
    with pytest.raises(ValueError, match="substring"):
        page.filled("nothing", found)


def test_the_picture_names_and_labels_everybody_without_a_script(found: report.Report):
    drawn = ET.fromstring(page.picture_of(found))
    words = [each.text for each in drawn.iter(f"{SVG}text")]
    for expected in ("library", "the seed's <service>", "2,000", "100", "1 caller", "64 callers", "120"):
        assert expected in words
    assert not list(drawn.iter(f"{SVG}script"))
    assert drawn.attrib["role"] == "img"
    assert "prefers-color-scheme:dark" in str(drawn.findtext(f"{SVG}style"))


def test_bars_are_as_long_as_their_values():
    drawn = picture.draw(
        rates={"whole": 200.0, "half": 100.0},
        latencies={"whole": {1: figures(1.0)}},
        cpu={"whole": {"service": 3.0, "PostgreSQL": 1.0}},
    )
    widths = [float(each.attrib["width"]) for each in ET.fromstring(drawn).iter(f"{SVG}rect")][1:]
    whole, half, service, postgres = widths
    assert whole == 2 * half == service + postgres == 4 * postgres


def test_the_page_of_performance_says_what_its_figures_say():
    assert page.stale() == []
