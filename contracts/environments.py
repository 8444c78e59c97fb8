"""Environments: where deployments run, and by which rules."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from contracts.values import Name, Reply, Request

EnvironmentName = Literal["development", "testing", "staging", "production"]
ENVIRONMENTS: tuple[EnvironmentName, ...] = get_args(EnvironmentName)
Activation = Literal["instant", "confirmed"]
Concurrency = Literal["reject", "supersede", "queue"]
EntityStatus = Literal["draft", "registered", "validated", "deployed", "active", "deprecated", "archived"]

Int32 = Annotated[int, Field(ge=1, le=2**31 - 1)]


class EnvironmentSet(Request):
    """Changes to an environment's settings; what is left out or null stays as it is."""

    environment: EnvironmentName
    updated_by: Name | None = None
    activation: Activation | None = None
    confirm_timeout_s: Annotated[int, Field(ge=1, le=86400)] | None = None
    auto_rollback: bool | None = None
    unhealthy_after: Int32 | None = None
    concurrency: Concurrency | None = None
    require_status: Annotated[list[EntityStatus], Field(max_length=7)] | None = None


class Environment(Reply):
    """An environment and its settings; times in seconds."""

    environment: EnvironmentName
    activation: Activation
    confirm_timeout_s: int
    auto_rollback: bool
    unhealthy_after: int
    concurrency: Concurrency
    require_status: list[EntityStatus]


class EnvironmentList(Reply):
    """All environments."""

    environments: list[Environment]
