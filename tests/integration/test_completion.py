"""Completion, as bash asks for it."""

import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(sys.executable).with_name("library")

COMPLETE = """
eval "$({library} completion bash)"
COMP_WORDS=({words})
COMP_CWORD={position}
_library_completion {library}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(*words):
    script = COMPLETE.format(library=LIBRARY, words=" ".join(words), position=len(words) - 1)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_and_options():
    assert completed(str(LIBRARY), "doc") == ["doctor"]
    assert "--json" in completed(str(LIBRARY), "doctor", "--")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell):
    done = subprocess.run(
        [LIBRARY, "completion", shell], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0
    assert "_LIBRARY_COMPLETE" in done.stdout


def test_another_shell_is_a_fault_of_usage():
    done = subprocess.run(
        [LIBRARY, "completion", "csh"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
