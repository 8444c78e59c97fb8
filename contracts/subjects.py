"""Every subject, stream, bucket and queue group. Nowhere else is one written out."""

from functools import cache
from uuid import UUID

SERVICE = "library"
QUEUE_GROUP = "library-worker"

DEPLOY_REQUEST = "library.deploy.request"
DEPLOY_ROLLBACK = "library.deploy.rollback"
DEPLOY_VALIDATE = "library.deploy.validate"
DEPLOY_GET = "library.deploy.get"
DEPLOY_LIST = "library.deploy.list"
DEPLOY_HISTORY = "library.deploy.history"
DEPLOY_CONFIRM = "library.deploy.confirm"
DEPLOY_HEALTH = "library.deploy.health"
DEPLOY_RETIRE = "library.deploy.retire"
DEPLOY_MATRIX = "library.deploy.matrix"
DEPLOY_AS_OF = "library.deploy.as_of"
DEPLOY_CONVERGENCE = "library.deploy.convergence"
ENVIRONMENT_LIST = "library.environment.list"
ENVIRONMENT_SET = "library.environment.set"
ENTITY_CREATE = "library.entity.create"
ENTITY_GET = "library.entity.get"
ENTITY_LIST = "library.entity.list"
ENTITY_UPDATE = "library.entity.update"
ENTITY_DELETE = "library.entity.delete"
ENTITY_DEPLOYMENTS = "library.entity.deployments"
QUARANTINE_LIST = "library.quarantine.list"
QUARANTINE_LIFT = "library.quarantine.lift"
DELIVERY_GET = "library.delivery.get"
STATUS_GET = "library.status.get"

REPLY_PREFIXES = ("_INBOX.", "_R_.")
"""The only places a reply goes to: a caller may name any reply subject, a stream's among them."""

EVENTS_STREAM = "LIBRARY_EVENTS"
EVENTS_WILDCARD = "library.events.>"
EVENT_SOURCE = "library"

COMMANDS_STREAM = "LIBRARY_COMMANDS"
COMMANDS_WILDCARD = "library.commands.*"
COMMAND_DEPLOY = "library.commands.deploy"
COMMAND_ROLLBACK = "library.commands.rollback"
COMMANDS = (COMMAND_DEPLOY, COMMAND_ROLLBACK)
COMMANDS_CONSUMER = "library-worker"

DEAD_STREAM = "LIBRARY_DEAD"
DEAD_WILDCARD = "library.dead.>"
UNKNOWN_COMMAND = "_"
"""In the place of a durable command's name where it came on a subject that is no command's."""

ACTIVE_BUCKET = "library-active"
PENDING_BUCKET = "library-pending"
APPLIED_BUCKET = "library-applied"

EXPIRY = "library.internal.expiry"
"""The operation that nobody asks for: a deployment was not confirmed in time."""

FIGURES = "library.internal.figures"
"""Each worker answers with what it has counted: ``contracts.metrics.WorkerFigures``."""

OUTBOX_WAKE = "library.internal.outbox"
"""A hint, without a promise, from a worker that committed to the one whose relay leads."""


def deployment_event(event: str, environment: str, entity_id: UUID | str) -> str:
    """The subject of a deployment's event."""
    return f"library.events.deployment.{event}.{environment}.{entity_id}"


def entity_event(event: str, entity_id: UUID | str) -> str:
    """The subject of an entity's event."""
    return f"library.events.entity.{event}.{entity_id}"


def environment_event(event: str, environment: str) -> str:
    """The subject of an environment's event."""
    return f"library.events.environment.{event}.{environment}"


def watched_events(entity_id: UUID | str = "*", environment: str = "*") -> str:
    """The filter for deployment events of an entity, an environment, both, or all."""
    return f"library.events.deployment.*.{environment}.{entity_id}"


def command_name(command_subject: str) -> str:
    """What a durable command does: ``deploy`` or ``rollback``."""
    return command_subject.rpartition(".")[2]


def durable_command(name: str) -> str:
    """The subject of a durable command: ``deploy`` or ``rollback``."""
    return f"library.commands.{name}"


def dead_letter(command_subject: str) -> str:
    """Where a durable command goes that cannot be carried out."""
    return f"library.dead.commands.{command_name(command_subject)}"


def rejected_event(environment: str | None, entity_id: UUID | str | None) -> str:
    """The subject of a durable command's refusal; what it does not tell is ``_``."""
    return deployment_event("rejected", environment or "_", entity_id or "_")


def place_of(event_subject: str) -> tuple[str, str] | None:
    """The environment and the entity's id that a deployment's event is about; None for other events."""
    tokens = event_subject.split(".")
    if len(tokens) == 6 and tokens[2] == "deployment" and tokens[3] != "rejected":  # noqa: PLR2004 - as deployment_event makes them
        return tokens[4], tokens[5]
    return None


def event_name(event_subject: str) -> str:
    """What an event on this subject says, such as ``completed``."""
    return event_subject.split(".")[3]


@cache
def event_type(kind: str, event: str) -> str:
    """The CloudEvents type of an event, such as ``library.deployment.completed.v1``."""
    return f"library.{kind}.{event}.v1"


def active_key(environment: str, entity_id: UUID | str) -> str:
    """The key in the buckets of live configurations, and of those that are deploying."""
    return f"{environment}.{entity_id}"


def applied_key(environment: str, entity_id: UUID | str, agent: str) -> str:
    """The key in the bucket of what agents run."""
    return f"{environment}.{entity_id}.{agent}"


def bucket_stream(bucket: str) -> str:
    """The stream behind a key-value bucket (NATS ADR-8)."""
    return f"KV_{bucket}"


def bucket_subject(bucket: str, key: str) -> str:
    """The subject a key-value bucket keeps a key under (NATS ADR-8)."""
    return f"$KV.{bucket}.{key}"
