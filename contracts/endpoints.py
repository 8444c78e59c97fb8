"""The table of what can be asked: one row gives a subject its bodies and its HTTP twins.

The worker subscribes to it, the gateway routes by it, discovery and the documents are generated from it.
"""

from dataclasses import dataclass
from typing import Literal

from contracts import subjects
from contracts.convergence import Convergence, ConvergenceRequest
from contracts.delivery import Delivery
from contracts.deployments import (
    AsOfRequest,
    ConfirmRequest,
    Deployment,
    DeploymentGet,
    DeploymentList,
    DeploymentListRequest,
    DeploymentPlan,
    DeployRequest,
    EntityDeploymentsRequest,
    HealthReport,
    HistoryRequest,
    RetireRequest,
    RollbackRequest,
)
from contracts.entities import (
    Entity,
    EntityCreate,
    EntityDelete,
    EntityGet,
    EntityList,
    EntityListRequest,
    EntityUpdate,
)
from contracts.environments import Environment, EnvironmentList, EnvironmentSet
from contracts.events import EventList
from contracts.matrix import Matrix, MatrixRequest
from contracts.problems import Code
from contracts.quarantine import Quarantined, QuarantineLift, QuarantineList, QuarantineListRequest
from contracts.status import Status
from contracts.values import Empty, Reply, Request

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True)
class Route:
    """An HTTP twin. Names in the path are fields of the request; the others come in the body or the query."""

    method: Method
    path: str
    status: int = 200

    @property
    def takes_body(self) -> bool:
        """Whether the other fields come as a JSON body, not as a query."""
        return self.method in ("POST", "PUT", "PATCH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A request subject."""

    subject: str
    summary: str
    request: type[Request]
    reply: type[Reply]
    routes: tuple[Route, ...]
    writes: bool = False
    problems: tuple[Code, ...] = ()

    @property
    def name(self) -> str:
        """The endpoint's name in the service protocol (ADR-32), such as ``deploy-request``."""
        return "-".join(self.subject.split(".")[1:])


_API = "/api/v1"
_DEPLOYMENTS = f"{_API}/deployments"
_DEPLOYMENT = f"{_DEPLOYMENTS}/{{deployment_id}}"
_ENTITY = f"{_API}/entities/{{entity_id}}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        subject=subjects.DEPLOY_REQUEST,
        summary="Deploy an entity to an environment",
        request=DeployRequest,
        reply=Deployment,
        routes=(Route("POST", _DEPLOYMENTS, 201),),
        writes=True,
        problems=(
            "entity_not_found",
            "version_mismatch",
            "quarantined",
            "deployment_in_progress",
            "validation_failed",
        ),
    ),
    Endpoint(
        subject=subjects.DEPLOY_ROLLBACK,
        summary="Roll an active deployment back",
        request=RollbackRequest,
        reply=Deployment,
        routes=(Route("POST", f"{_DEPLOYMENT}/rollback"),),
        writes=True,
        problems=(
            "deployment_not_found",
            "deployment_not_active",
            "no_rollback_target",
            "invalid_rollback_target",
        ),
    ),
    Endpoint(
        subject=subjects.DEPLOY_VALIDATE,
        summary="Plan a deploy without doing it",
        request=DeployRequest,
        reply=DeploymentPlan,
        routes=(Route("POST", f"{_DEPLOYMENTS}/validate"),),
        problems=("entity_not_found",),
    ),
    Endpoint(
        subject=subjects.DEPLOY_GET,
        summary="Get a deployment",
        request=DeploymentGet,
        reply=Deployment,
        routes=(Route("GET", _DEPLOYMENT),),
        problems=("deployment_not_found",),
    ),
    Endpoint(
        subject=subjects.DEPLOY_LIST,
        summary="List deployments, newest first",
        request=DeploymentListRequest,
        reply=DeploymentList,
        routes=(Route("GET", _DEPLOYMENTS),),
    ),
    Endpoint(
        subject=subjects.DEPLOY_HISTORY,
        summary="A deployment's events, oldest first",
        request=HistoryRequest,
        reply=EventList,
        routes=(Route("GET", f"{_DEPLOYMENT}/events"),),
        problems=("deployment_not_found",),
    ),
    Endpoint(
        subject=subjects.DEPLOY_CONFIRM,
        summary="Confirm or refuse what is deploying",
        request=ConfirmRequest,
        reply=Deployment,
        routes=(Route("POST", f"{_DEPLOYMENT}/confirm"),),
        writes=True,
        problems=("deployment_not_found", "deployment_not_active"),
    ),
    Endpoint(
        subject=subjects.DEPLOY_HEALTH,
        summary="Report how a deployment is doing",
        request=HealthReport,
        reply=Deployment,
        routes=(Route("POST", f"{_DEPLOYMENT}/health"),),
        writes=True,
        problems=("deployment_not_found",),
    ),
    Endpoint(
        subject=subjects.DEPLOY_RETIRE,
        summary="End an active deployment with nothing in its place",
        request=RetireRequest,
        reply=Deployment,
        routes=(Route("POST", f"{_DEPLOYMENT}/retire"),),
        writes=True,
        problems=("deployment_not_found", "deployment_not_active", "dependency_in_use"),
    ),
    Endpoint(
        subject=subjects.ENVIRONMENT_LIST,
        summary="List the environments and their settings",
        request=Empty,
        reply=EnvironmentList,
        routes=(Route("GET", f"{_API}/environments"),),
    ),
    Endpoint(
        subject=subjects.ENVIRONMENT_SET,
        summary="Change an environment's settings",
        request=EnvironmentSet,
        reply=Environment,
        routes=(Route("PUT", f"{_API}/environments/{{environment}}"),),
        writes=True,
    ),
    Endpoint(
        subject=subjects.ENTITY_CREATE,
        summary="Register an entity",
        request=EntityCreate,
        reply=Entity,
        routes=(Route("POST", f"{_API}/entities", 201),),
        writes=True,
        problems=("entity_name_taken",),
    ),
    Endpoint(
        subject=subjects.ENTITY_GET,
        summary="Get an entity",
        request=EntityGet,
        reply=Entity,
        routes=(Route("GET", _ENTITY),),
        problems=("entity_not_found",),
    ),
    Endpoint(
        subject=subjects.ENTITY_LIST,
        summary="List entities, newest first",
        request=EntityListRequest,
        reply=EntityList,
        routes=(Route("GET", f"{_API}/entities"),),
    ),
    Endpoint(
        subject=subjects.ENTITY_UPDATE,
        summary="Change an entity",
        request=EntityUpdate,
        reply=Entity,
        routes=(Route("PATCH", _ENTITY),),
        writes=True,
        problems=("entity_not_found", "revision_conflict", "entity_name_taken"),
    ),
    Endpoint(
        subject=subjects.ENTITY_DELETE,
        summary="Delete an entity that is deployed nowhere",
        request=EntityDelete,
        reply=Entity,
        routes=(Route("DELETE", _ENTITY),),
        writes=True,
        problems=("entity_not_found", "entity_in_use"),
    ),
    Endpoint(
        subject=subjects.ENTITY_DEPLOYMENTS,
        summary="An entity's deployments, newest first",
        request=EntityDeploymentsRequest,
        reply=DeploymentList,
        routes=(
            Route("GET", f"{_ENTITY}/deployments"),
            Route("GET", f"{_DEPLOYMENTS}/entity/{{entity_id}}/deployments"),
        ),
        problems=("entity_not_found",),
    ),
    Endpoint(
        subject=subjects.DEPLOY_AS_OF,
        summary="What was active at a time",
        request=AsOfRequest,
        reply=DeploymentList,
        routes=(Route("GET", f"{_DEPLOYMENTS}/as-of"),),
    ),
    Endpoint(
        subject=subjects.DEPLOY_CONVERGENCE,
        summary="Which agents run what is active, and which are behind",
        request=ConvergenceRequest,
        reply=Convergence,
        routes=(Route("GET", f"{_API}/environments/{{environment}}/convergence"),),
    ),
    Endpoint(
        subject=subjects.QUARANTINE_LIST,
        summary="List what is in quarantine, newest first",
        request=QuarantineListRequest,
        reply=QuarantineList,
        routes=(Route("GET", f"{_API}/quarantine"),),
    ),
    Endpoint(
        subject=subjects.QUARANTINE_LIFT,
        summary="Let what is in quarantine be deployed again",
        request=QuarantineLift,
        reply=Quarantined,
        routes=(Route("POST", f"{_API}/quarantine/{{quarantine_id}}/lift"),),
        writes=True,
        problems=("not_found",),
    ),
    Endpoint(
        subject=subjects.DEPLOY_MATRIX,
        summary="What runs where: entities by name, with what is active or on its way in each environment",
        request=MatrixRequest,
        reply=Matrix,
        routes=(Route("GET", f"{_API}/matrix"),),
    ),
    Endpoint(
        subject=subjects.DELIVERY_GET,
        summary="How delivery goes in each environment: the four figures of DORA",
        request=Empty,
        reply=Delivery,
        routes=(Route("GET", f"{_API}/delivery"),),
    ),
    Endpoint(
        subject=subjects.STATUS_GET,
        summary="The state of NATS, database, worker and outbox",
        request=Empty,
        reply=Status,
        routes=(Route("GET", "/health/detailed"),),
    ),
)

BY_SUBJECT: dict[str, Endpoint] = {endpoint.subject: endpoint for endpoint in ENDPOINTS}
