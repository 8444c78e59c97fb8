"""What agents say, said by hand: that a deployment runs or does not, and how it is doing."""

from typing import Annotated

import typer

from contracts.deployments import ConfirmRequest, HealthReport, ReportedHealth
from worker.entrypoints.commands import views
from worker.entrypoints.commands.arguments import By, DeploymentId, Details, Key, example, login_name
from worker.entrypoints.commands.session import Session, asks

app = typer.Typer()


def _not_confirmed_with_an_error(context: typer.Context, *, failed: bool) -> bool:
    """An error beside a confirmation is a slip; --failed, where it is missing, is read after all others."""
    if not failed and context.params.get("error") is not None:
        raise typer.BadParameter("is for what does not run; say --failed, too", param_hint="--error")
    return failed


@app.command(
    epilog=example(
        "library confirm 0197f3a2-7c1e-7b54-9d0a-3f6a1f0c2b41 --agent shop-1",
        "library confirm 0197f3a2-7c1e-7b54-9d0a-3f6a1f0c2b41 --agent shop-1 --failed --error 'Port in use'",
    )
)
@asks
async def confirm(
    session: Session,
    deployment_id: DeploymentId,
    *,
    agent: Annotated[
        str,
        typer.Option(
            "--agent", help="Which agent says so: A-Z, a-z, 0-9, _ and -, at most 64.", metavar="NAME"
        ),
    ],
    failed: Annotated[
        bool,
        typer.Option(
            "--failed",
            help="It does not run; what was active before stays active.",
            callback=lambda context, value: _not_confirmed_with_an_error(context, failed=value),
        ),
    ] = False,
    error: Annotated[
        str | None,
        typer.Option("--error", help="Why it does not run; with --failed.", metavar="TEXT"),
    ] = None,
    details: Details = None,
    key: Key = None,
) -> None:
    """Say that what is deploying runs, or that it does not.

    In a confirmed environment the first word counts. Confirmed, a deployment is active.
    """
    request = ConfirmRequest(
        deployment_id=deployment_id,
        agent=agent,
        outcome="failed" if failed else "active",
        error=error,
        details=details,
    )
    deployment = await session.client.confirm(request, idempotency_key=key)
    session.show(deployment, views.deployment(deployment))


@app.command(
    epilog=example(
        "library health 0197f3a2-7c1e-7b54-9d0a-3f6a1f0c2b41 unhealthy --details '{\"error_rate\": 0.04}'"
    )
)
@asks
async def health(
    session: Session,
    deployment_id: DeploymentId,
    status: Annotated[ReportedHealth, typer.Argument(help="How it is doing.", metavar="STATUS")],
    *,
    details: Details = None,
    by: By = None,
    key: Key = None,
) -> None:
    """Report how a deployment is doing: healthy, degraded or unhealthy.

    Enough unhealthy reports in a row roll it back where the environment says so.
    """
    request = HealthReport(
        deployment_id=deployment_id, reported_by=login_name(by), status=status, details=details
    )
    deployment = await session.client.report_health(request, idempotency_key=key)
    session.show(deployment, views.deployment(deployment))
