"""Write ``docs/lifecycle.md`` from the table of transitions, or see that it is up to date.

``python docs/lifecycle.py [--check]``
"""

import argparse
import sys
from pathlib import Path

from contracts.deployments import DeploymentStatus
from worker.domain.states import ROLLBACK_TARGETS, TRANSITIONS

PAGE = Path(__file__).with_suffix(".md")

STARTS: dict[DeploymentStatus, str] = {
    "active": "deploy, in an instant environment",
    "deploying": "deploy, in a confirmed environment",
    "pending": "the same while another one is deploying there, with `concurrency: queue`",
}
WHEN: dict[tuple[DeploymentStatus, DeploymentStatus], str] = {
    ("pending", "deploying"): "its turn, and still valid",
    ("pending", "active"): "its turn, where the environment was made instant meanwhile",
    ("pending", "failed"): "its turn, and no longer valid; superseded; or overtaken by a rollback",
    ("deploying", "active"): "confirmed by its agent",
    (
        "deploying",
        "failed",
    ): "refused by its agent, silent past `confirm_by`, superseded, or overtaken by a rollback",
    ("active", "inactive"): "superseded by a newer one, or retired",
    ("active", "rolled_back"): "rolled back",
    ("inactive", "active"): "target of a rollback",
    ("rolled_back", "active"): "target of a rollback that names it",
}

TEXT = """\
<!-- Written by docs/lifecycle.py from worker/domain/states.py; `make documents` writes it anew. -->
# The life of a deployment

```mermaid
stateDiagram-v2
{chart}
```

| from | to | when |
|---|---|---|
{rows}

At most one deployment of an entity in an environment is `active`, and at most one `deploying`: two partial
unique indexes of PostgreSQL say so, whatever the code does.

What is `deploying` or `pending` does not stay so. The first word of an agent decides; without one, the
database's clock does, past `confirm_by`. The transaction that decides it gives the next in line its turn: a
`pending` one has no `confirm_by` before that. Superseding and a rollback end the whole line at once.

What can be rolled back to: {targets}. What `failed` never was active, and never will be.

The table is `TRANSITIONS` in `worker/domain/states.py`, and `moved` there is the
only way from one state to the next: a transition that is not in the table raises, and nothing is written. To
add one, add it there, and say when it happens in `docs/lifecycle.py`.
"""


def page() -> str:
    """The page as it should be. Raises ``KeyError`` for a transition that nobody has described."""
    moves = [(old, new) for old, following in TRANSITIONS.items() for new in sorted(following)]
    ends = [old for old, following in TRANSITIONS.items() if not following]
    chart = [f"    [*] --> {new}" for new in STARTS]
    chart += [f"    {old} --> {new}" for old, new in moves]
    chart += [f"    {old} --> [*]" for old in ends]
    rows = [f"| new | `{new}` | {when} |" for new, when in STARTS.items()]
    rows += [f"| `{old}` | `{new}` | {WHEN[old, new]} |" for old, new in moves]
    targets = " and ".join(f"`{status}`" for status in TRANSITIONS if status in ROLLBACK_TARGETS)
    return TEXT.format(chart="\n".join(chart), rows="\n".join(rows), targets=targets)


def main() -> int:
    """The exit status: 1 where ``--check`` finds the page out of date."""
    parser = argparse.ArgumentParser(description="Write docs/lifecycle.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is not up to date")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8", newline="\n")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    sys.stderr.write("docs/lifecycle.md is not up to date; run make documents\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
