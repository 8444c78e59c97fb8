"""The commands of a page, in a shell whose library is the one under test."""

import os
import subprocess
import sys
from pathlib import Path

from tests.system import System


def shell(system: System, folder: Path, code: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """What came of a block of commands that must end with that status."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env={**system.environment, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status, f"{code}\n{done.stdout}\n{done.stderr}"
    return done
