"""Deployments: what is to run where."""

import sys
from typing import Annotated
from uuid import UUID

import typer

from contracts.deployments import Deployment, DeployRequest, RetireRequest, RollbackRequest
from contracts.environments import EnvironmentName
from contracts.problems import ProblemError
from worker.entrypoints.commands import views
from worker.entrypoints.commands.arguments import (
    By,
    Config,
    DeploymentId,
    Entity,
    Key,
    Parameters,
    Reason,
    entity_or_id,
    example,
    login_name,
)
from worker.entrypoints.commands.output import printable
from worker.entrypoints.commands.session import REFUSED, Session, asks

app = typer.Typer()

_WAIT = 30.0

Environment = Annotated[EnvironmentName, typer.Argument(help="Where.", metavar="ENVIRONMENT")]
Override = Annotated[
    bool, typer.Option("--merge", help="Lay --config and --parameters over the entity's (RFC 7396).")
]
ExpectedVersion = Annotated[
    str | None,
    typer.Option("--expected-version", help="Refuse if the entity has another version.", metavar="VERSION"),
]
OverrideQuarantine = Annotated[
    bool,
    typer.Option("--override-quarantine", help="Deploy what was rolled back for its health; needs --reason."),
]


@app.command(
    epilog=example(
        "library deploy shop staging --merge --config '{\"replicas\": 3}' --reason 'Sale'",
        "library deploy shop production --wait --timeout 300",
    )
)
@asks
async def deploy(
    session: Session,
    entity: Entity,
    environment: Environment,
    *,
    config: Config = None,
    parameters: Parameters = None,
    merge: Override = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Why.", metavar="TEXT")] = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help=f"Wait until it is active or has failed; --timeout is {_WAIT:g} by default then.",
        ),
    ] = False,
    expected_version: ExpectedVersion = None,
    supersede_pending: Annotated[
        bool, typer.Option("--supersede-pending", help="Fail the deployments that wait there.")
    ] = False,
    override_quarantine: OverrideQuarantine = False,
    by: By = None,
    key: Key = None,
) -> None:
    """Put an entity, as it is now, into an environment.

    Where an agent is to confirm it, it is "deploying" at first. With --wait, exit status 1 says also that it
    failed, with the reason on standard error; one that is not decided in time is 0, and a note says so.
    """
    request = DeployRequest(
        entity_id=await session.entity_id(entity),
        environment=environment,
        deployed_by=login_name(by),
        config_override=config,
        parameters_override=parameters,
        override_strategy="merge" if merge else "replace",
        reason=reason,
        wait=wait,
        expected_version=expected_version,
        supersede_pending=supersede_pending,
        override_quarantine=override_quarantine,
    )
    deployment = await session.client.deploy(
        request, idempotency_key=key, timeout=session.seconds(_WAIT) if wait else None
    )
    session.show(deployment, views.deployment(deployment))
    if wait:
        _say_outcome(deployment)


def _say_outcome(deployment: Deployment) -> None:
    """Beside what was shown, in one line; ends with status 1 what was accepted and failed."""
    if deployment.status == "failed":
        sys.stderr.write(printable(f"failed: {deployment.error_logs or 'no reason is given'}") + "\n")
        raise typer.Exit(REFUSED)
    if deployment.status in ("deploying", "pending"):
        sys.stderr.write(
            f"not decided yet: it is {deployment.status}; library get {deployment.deployment_id} shows it\n"
        )


def _says_which(context: typer.Context, environment: str | None) -> str | None:
    """An entity alone says not which deployment to roll back: where it runs is needed, too."""
    target = context.params.get("target", "")
    if environment is None and isinstance(entity_or_id(target), str):
        raise typer.BadParameter(f"{target!r} is no deployment's id; of an entity, say where it runs")
    return environment


@app.command(
    epilog=example(
        "library rollback shop production --reason 'Prices are wrong'",
        "library rollback 0197f3a2-7c1e-7b54-9d0a-3f6a1f0c2b41 --reason 'Prices are wrong'",
    )
)
@asks
async def rollback(
    session: Session,
    target: Annotated[
        str,
        typer.Argument(
            help="The deployment's id; or an entity, with ENVIRONMENT.", metavar="DEPLOYMENT_ID|ENTITY"
        ),
    ],
    environment: Annotated[
        EnvironmentName | None,
        typer.Argument(
            help="Where the entity's active deployment is taken back.",
            metavar="ENVIRONMENT",
            callback=_says_which,
        ),
    ] = None,
    *,
    reason: Reason,
    to: Annotated[
        UUID | None,
        typer.Option(
            "--to", help="Go back to this one; by default to the one active before.", metavar="DEPLOYMENT_ID"
        ),
    ] = None,
    by: By = None,
    key: Key = None,
) -> None:
    """Take an active deployment back."""
    request = RollbackRequest(
        deployment_id=await _to_roll_back(session, target, environment),
        reason=reason,
        rolled_back_by=login_name(by),
        target_deployment_id=to,
    )
    deployment = await session.client.rollback(request, idempotency_key=key)
    session.show(deployment, views.deployment(deployment))


async def _to_roll_back(session: Session, target: str, environment: EnvironmentName | None) -> UUID:
    """The deployment that is named, or that is active there."""
    if environment is None:
        return UUID(target)
    entity_id = await session.entity_id(target)
    active = await session.client.list(entity_id=entity_id, environment=environment, status="active")
    if not active.deployments:
        raise ProblemError("deployment_not_active", f"Nothing of {target} is active in {environment}.")
    return active.deployments[0].deployment_id


@app.command(epilog=example("library validate shop production"))
@asks
async def validate(
    session: Session,
    entity: Entity,
    environment: Environment,
    *,
    config: Config = None,
    parameters: Parameters = None,
    merge: Override = False,
    expected_version: ExpectedVersion = None,
    by: By = None,
) -> None:
    """Show what a deploy would do and change, without doing it."""
    plan = await session.client.validate(
        entity_id=await session.entity_id(entity),
        environment=environment,
        deployed_by=login_name(by),
        config_override=config,
        parameters_override=parameters,
        override_strategy="merge" if merge else "replace",
        expected_version=expected_version,
    )
    session.show(plan, views.plan(plan))


@app.command(
    epilog=example("library retire 0197f3a2-7c1e-7b54-9d0a-3f6a1f0c2b41 --reason 'Replaced by market'")
)
@asks
async def retire(
    session: Session,
    deployment_id: DeploymentId,
    *,
    reason: Reason,
    force: Annotated[bool, typer.Option("--force", help="Even if others there depend on it.")] = False,
    by: By = None,
    key: Key = None,
) -> None:
    """End an active deployment with nothing in its place."""
    request = RetireRequest(
        deployment_id=deployment_id, retired_by=login_name(by), reason=reason, force=force
    )
    deployment = await session.client.retire(request, idempotency_key=key)
    session.show(deployment, views.deployment(deployment))
