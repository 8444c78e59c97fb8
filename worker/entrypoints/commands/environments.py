"""``library environment``: where deployments run, and by which rules."""

from typing import Annotated, cast, get_args

import typer

from contracts.environments import Activation, Concurrency, EntityStatus, EnvironmentName, EnvironmentSet
from worker.entrypoints.commands import views
from worker.entrypoints.commands.arguments import By, Key, example, login_name
from worker.entrypoints.commands.session import Session, asks, common_options

app = typer.Typer(help="Show and change the environments.", callback=common_options)

_STATUSES = get_args(EntityStatus)


def _entity_status(text: str) -> str:
    if text not in _STATUSES:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(_STATUSES)}")
    return text


@app.command("list", epilog=example("library environment list"))
@asks
async def list_(session: Session) -> None:
    """List the environments and their settings."""
    found = await session.client.environments()
    session.show(found, views.environments(found.environments))


@app.command(
    "set", epilog=example("library environment set production --activation confirmed --auto-rollback")
)
@asks
async def set_(
    session: Session,
    environment: Annotated[EnvironmentName, typer.Argument(help="Which.", metavar="ENVIRONMENT")],
    *,
    activation: Annotated[
        Activation | None,
        typer.Option("--activation", help="Active at once, or when an agent confirms it."),
    ] = None,
    confirm_timeout: Annotated[
        int | None,
        typer.Option(
            "--confirm-timeout", min=1, max=86400, help="How long an agent has to confirm.", metavar="SECONDS"
        ),
    ] = None,
    auto_rollback: Annotated[
        bool | None, typer.Option("--auto-rollback/--no-auto-rollback", help="Roll back what is unhealthy.")
    ] = None,
    unhealthy_after: Annotated[
        int | None,
        typer.Option("--unhealthy-after", min=1, help="How many bad reports make it unhealthy.", metavar="N"),
    ] = None,
    concurrency: Annotated[
        Concurrency | None,
        typer.Option("--concurrency", help="What a deploy does while another one waits to be confirmed."),
    ] = None,
    require_status: Annotated[
        list[str] | None,
        typer.Option(
            "--require-status",
            parser=_entity_status,
            help=f"A status that may be deployed there, one of {', '.join(_STATUSES)}; may be repeated.",
            metavar="STATUS",
        ),
    ] = None,
    by: By = None,
    key: Key = None,
) -> None:
    """Change an environment's settings; what is not named stays as it is."""
    request = EnvironmentSet(
        environment=environment,
        updated_by=login_name(by),
        activation=activation,
        confirm_timeout_s=confirm_timeout,
        auto_rollback=auto_rollback,
        unhealthy_after=unhealthy_after,
        concurrency=concurrency,
        require_status=cast("list[EntityStatus] | None", require_status or None),
    )
    changed = await session.client.set_environment(request, idempotency_key=key)
    session.show(changed, views.environments([changed]))
