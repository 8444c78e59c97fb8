"""The scripts of others that the dashboard serves are those that their README names."""

import hashlib
import re
from pathlib import Path

import pytest

from worker.entrypoints.gateway import dashboard

VENDOR = Path(dashboard.__file__).parent / "static" / "vendor"
ROW = re.compile(r"\| `(\S+\.js)` \| (\S+) \| (\d+\.\d+\.\d+) \| (\S+) \| `([0-9a-f]{64})` \|")
NAMED = {file: rest for file, *rest in ROW.findall((VENDOR / "README.md").read_text())}


def test_every_script_is_named_and_every_name_is_there():
    assert {path.name for path in VENDOR.glob("*.js")} == NAMED.keys()


@pytest.mark.parametrize("file", NAMED)
def test_a_script_is_the_one_that_is_named_and_has_its_licence(file):
    _, _, licence, digest = NAMED[file]

    assert hashlib.sha256((VENDOR / file).read_bytes()).hexdigest() == digest
    assert (VENDOR / licence).stat().st_size > 0


def test_htmx_says_the_version_that_is_named():
    (said,) = re.findall(r'\bversion:"([^"]+)"', (VENDOR / "htmx.min.js").read_text())

    assert said == NAMED["htmx.min.js"][1]
