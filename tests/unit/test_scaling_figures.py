"""What `make scaling` computes from what it measures, and where it puts it."""

import re
from pathlib import Path

import pytest

from benchmarks import scaling_page
from benchmarks.measures import Figures

ROOT = Path(__file__).parents[2]


def turn(workers: int, rate: float) -> scaling_page.Turn:
    return scaling_page.Turn(
        workers=workers,
        figures=Figures(rate, 10.0, 20.0, 30.0),
        cpu={"worker": 250.0, "postgres": 200.0, "nats-server": 90.0, "generator": 60.0},
        relay=50.0,
        busiest=40.0,
        least_share=0.4,
        together=16.0,
        log_bytes=8000.0,
        stream_bytes=4000.0,
        lanes={"row lock": 0.1, "sync of the log": 0.2, "PostgreSQL": 0.3, "worker": 0.4},
    )


@pytest.fixture
def found() -> scaling_page.Measured:
    keys = [("1", 1), ("3", 1), ("1", 2), ("3", 2)]
    turns = {key: [turn(key[1], 1000.0 * number)] for number, key in enumerate(keys, 1)}
    drains = {
        title: scaling_page.Drain(20_000, seconds, {"worker": 30.0})
        for title, seconds in (("1", 2.0), ("3", 4.0))
    }
    return scaling_page.Measured(turns, turns, drains)


def test_n_workers_answer_until_their_leader_is_busy_or_its_relay_is_late(found):
    text = "\n".join(scaling_page.tables(found))

    # Own work of 250 - 50 microseconds; 500 a deploy, as a worker alone does 2,000/s, of which 50 are its
    # relay's; the relay's 5,000 events/s are two a deploy.
    assert "| 1 | 2,000 | 4,000 | 2,500 | 0.4 | 0.1 | 16 | 8 |" in text  # 450 + 50, 200 + 50
    assert "| 2 | 3,636 | 6,667 | 2,500 | 0.5 | 0.1 | 20 | 10 |" in text  # half of 450 or of 200, and 50
    assert "| 16 | 12,800 | 16,000 | 2,500 | 0.5 | 0.1 | 20 | 10 |" in text


def test_each_arrangement_stands_beside_the_first(found):
    text = "\n".join(scaling_page.tables(found))

    assert "| 2,000 entities | 3 | 2 | 4,000 | 4.00 | 10 / 20 | 40% | 16 |" in text
    assert "| 10 entities | 1 | 2 | 10% | 20% | 30% | 40% |" in text
    assert "| 3 | 20,000 | 5,000 | 30 | 0 | 0 |" in text


def test_the_page_is_filled_between_its_marks_and_filled_again_the_same(found):
    page = scaling_page.PAGE.read_text(encoding="utf-8")
    once = scaling_page.filled(page, found)

    assert once == scaling_page.filled(once, found)
    assert once.partition(scaling_page.MARKS[0])[0] == page.partition(scaling_page.MARKS[0])[0]
    assert once.partition(scaling_page.MARKS[1])[2] == page.partition(scaling_page.MARKS[1])[2]


def test_a_page_without_marks_is_an_error(found):
    with pytest.raises(ValueError, match="substring"):
        scaling_page.filled("nothing", found)


@pytest.mark.parametrize(
    "target", re.findall(r"^make (\w+)", scaling_page.PAGE.read_text(encoding="utf-8"), re.MULTILINE)
)
def test_every_target_of_the_page_is_there_and_has_a_sentence(target):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:.* ## .+\.$", makefile, re.MULTILINE)
