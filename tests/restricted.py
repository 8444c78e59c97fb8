"""Servers on which users and roles may do no more than they need."""

import re
from contextlib import closing
from pathlib import Path

import psycopg2

from tests.system import Process, System
from worker.embedded.nats_server import NatsServer
from worker.embedded.postgres import PostgresServer

ROOT = Path(__file__).parents[1]
USERS = ROOT / "deploy" / "nats-users.conf"
SECRETS = {"LIBRARY_NATS_PASSWORD": "of-the-worker", "LIBRARY_NATS_CALLERS_PASSWORD": "of-callers"}
"""What deploy/nats-users.conf asks of the environment."""
PASSWORD = "of-the-role"


def grants() -> str:
    """The statements in docs/operations.md that give the role library_worker its rights."""
    page = (ROOT / "docs" / "operations.md").read_text()
    found = re.findall(r"^    (GRANT .* TO library_worker;)$", page, re.MULTILINE)
    return "\n".join(found)


class GuardedNats(NatsServer):
    """A nats-server on deploy/nats-users.conf, or with other users; ``url`` is that of the worker's user."""

    authorization = f"include {USERS.name}"

    def prepare(self) -> None:
        """As its base, with users; an include is sought beside the file that has it."""
        super().prepare()
        text = USERS.read_text()
        for name, secret in SECRETS.items():
            text = text.replace(f"${name}", secret)
        (self.configuration.parent / USERS.name).write_text(text)
        with self.configuration.open("a") as file:
            file.write(f"{self.authorization}\n")

    def url_of(self, user: str, password: str) -> str:
        """Its address for a user."""
        return super().url.replace("nats://", f"nats://{user}:{password}@")

    @property
    def url(self) -> str:
        return self.url_of("library", SECRETS["LIBRARY_NATS_PASSWORD"])

    @property
    def callers_url(self) -> str:
        """Its address for the gateway and other callers."""
        return self.url_of("library-callers", SECRETS["LIBRARY_NATS_CALLERS_PASSWORD"])


class OpenPostgres(PostgresServer):
    """A PostgreSQL that lets its superuser in, so that a test can make roles."""

    def prepare(self) -> None:
        """As its base; the superuser needs no password."""
        super().prepare()
        access = self.data / "pg_hba.conf"
        access.write_text(f"host all postgres 127.0.0.1/32 trust\n{access.read_text()}")

    def as_superuser(self, *statements: str) -> None:
        """Carry statements out."""
        address = self.url.rpartition("@")[2]
        with closing(psycopg2.connect(f"postgresql://postgres@{address}")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

    def make_role(self, name: str) -> str:
        """The URI for a new role that may do nothing but log in and look into the schema."""
        self.as_superuser(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        return f"postgresql://{name}:{PASSWORD}@{self.url.rpartition('@')[2]}"


class RestrictedSystem(System):
    """A system whose worker is a role and a user with no more rights than needed, and its gateway another."""

    def __init__(self) -> None:
        super().__init__()
        self.nats: GuardedNats = GuardedNats(self.directory, output=self._log)
        self.postgres: OpenPostgres = OpenPostgres(self.directory, output=self._log)

    @property
    def said(self) -> str:
        """What nats-server and PostgreSQL logged."""
        return (self.directory / "servers.log").read_text(errors="replace")

    def start_worker(self, **settings: str) -> Process:
        """A worker as the role ``library_worker``, which has what docs/operations.md grants it."""
        url = self.postgres.make_role("library_worker")
        self.sql(grants())
        return super().start_worker(LIBRARY_DATABASE_URL=url, **settings)

    def start_gateway(self) -> Process:
        """A gateway as the user for callers."""
        self.gateway = Process("gateway", {**self.environment, "LIBRARY_NATS_URL": self.nats.callers_url})
        return self.gateway
