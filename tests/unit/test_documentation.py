"""What the documents point at is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
MODULE = re.compile(r"`((?:worker|contracts|tests|examples|deploy|docs)/[\w./-]*)`")
SECTIONS = ["Context", "Decision", "Consequences", "Alternatives"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    links = [page.parent / link for link in LINK.findall(text) if "://" not in link]
    files = [ROOT / name for name in MODULE.findall(text)]
    assert [str(path) for path in (*links, *files) if not path.exists()] == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/decisions/*.md")), ids=lambda page: page.stem)
def test_every_decision_has_its_four_parts(page):
    text = page.read_text(encoding="utf-8")
    number = int(page.name[:4])
    assert re.match(rf"# {number}\. \S", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS


def test_decisions_are_numbered_without_a_gap():
    numbers = sorted(int(page.name[:4]) for page in ROOT.glob("docs/decisions/*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_no_page_names_a_path_of_somebodys_machine():
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(work|root|home|Users)/", page.read_text(encoding="utf-8")), page


def test_the_lock_is_pinned_hashed_and_without_addresses():
    for lock in ROOT.glob("requirements*.lock"):
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text
        for requirement in re.split(r"\n(?=\S)", text.strip()):
            assert re.match(r"[a-z0-9.-]+==\S+", requirement), requirement
            assert "--hash=sha256:" in requirement, requirement
