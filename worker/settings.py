"""Settings: ``LIBRARY_`` and the name in the environment, else a file; see ``worker/settings_files.py``."""

from typing import Annotated

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from contracts.subjects import REPLY_PREFIXES
from worker.settings_files import (
    PREFIX,
    MisconfiguredError,
    from_secret_files,
    from_settings_file,
    origins,
    variable,
)


class Settings(BaseSettings):
    """What a process is configured by. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    nats_url: str = Field("nats://127.0.0.1:4222", description="Where nats-server is; several by comma.")
    database_url: str = Field(
        "postgresql://127.0.0.1:5432/library", description="Where PostgreSQL is, as a postgresql:// URI."
    )
    http_host: str = Field("127.0.0.1", description="The address the gateway listens on.")
    http_expose: bool = Field(
        False,
        description="Listen on an address that others reach: there is no authentication, they can deploy.",
    )
    http_names: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Names the gateway is asked by, besides localhost and addresses; several by comma."
    )
    http_port: Annotated[int, Field(ge=1, le=65535)] = Field(
        8350, description="The port the gateway listens on."
    )
    http_timeout: Annotated[float, Field(gt=0, le=60)] = Field(
        10.0, description="How long the gateway waits for an answer."
    )
    reply_prefixes: Annotated[tuple[str, ...], NoDecode] = Field(
        REPLY_PREFIXES, description="Where replies may go; several by comma."
    )
    batch_size: Annotated[int, Field(ge=1, le=512)] = Field(
        64, description="How many commands one transaction takes at most."
    )
    queue_size: Annotated[int, Field(ge=1)] = Field(
        2048, description="How many commands wait at most; beyond, the answer is busy."
    )
    readers: Annotated[int, Field(ge=1, le=32)] = Field(4, description="How many reads run side by side.")
    events_max_age_days: Annotated[int, Field(ge=1)] = Field(
        90, description="How long the stream of events keeps them; the table keeps them for ever."
    )
    replicas: Annotated[int, Field(ge=1, le=5)] = Field(
        1, description="Replicas of streams and buckets; three in a cluster."
    )
    disconnected_exit: Annotated[float, Field(gt=0)] = Field(
        60.0, description="A worker cut off from NATS for so long ends itself, for its supervisor to restart."
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's form
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then files of single values, then the settings file."""
        names = settings_cls.model_fields
        files = (from_secret_files(names), from_settings_file(names))
        return (init_settings, env_settings, *(InitSettingsSource(settings_cls, each) for each in files))

    @field_validator("reply_prefixes", "http_names", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        if value.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("is one of DEBUG, INFO, WARNING, ERROR")
        return value.upper()


def read_settings() -> Settings:
    """The settings of this process. Raises ``MisconfiguredError``, which names every faulty one."""
    try:
        return Settings()
    except ValidationError as error:
        where = origins(Settings.model_fields)
        faults = []
        for each in error.errors(include_url=False, include_input=False):
            name = str(each["loc"][0])
            given = where.get(name, "default")
            is_variable = given in (variable(name), f"{variable(name)}_FILE")
            faults.append(f"{given if is_variable else f'{given}: {name}'}: {each['msg']}")
        raise MisconfiguredError(*faults) from None
