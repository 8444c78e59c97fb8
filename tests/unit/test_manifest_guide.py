"""The manifest in the guide is one."""

import re
from pathlib import Path

from worker.entrypoints.manifests import files

GUIDE = (Path(__file__).parents[2] / "docs" / "manifests.md").read_text()


def test_the_manifest_of_the_guide_is_read_without_a_fault(tmp_path):
    (tmp_path / "momentum.yaml").write_text(re.search(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)[1])

    wanted = files.read([tmp_path])

    assert files.order(wanted) == ["prices", "momentum"]
    assert len(wanted.deployments) == 3
