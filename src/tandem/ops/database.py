"""Which database a command works on: the one DATABASE_URL names, else the embedded one of this checkout."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from tandem.core.development_database import attach, data_dir
from tandem.core.postgres import EmbeddedPostgres, EmbeddedPostgresError
from tandem.core.settings import Settings, SettingsError, load_settings
from tandem.ops.services import Service
from tandem.ops.target import Progress, Target


def embedded_server() -> EmbeddedPostgres:
    return EmbeddedPostgres(data_dir())


@contextmanager
def database_url(settings: Settings, on_progress: Progress) -> Iterator[str]:
    """The URL to work on while the block lasts. Starts the embedded server, or joins the one `tandem up` runs.

    Raises EmbeddedPostgresError, and SettingsError for a deployment without a URL.
    """
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    if settings.deployed:
        raise SettingsError(["DATABASE_URL is not set: the connection string of your Postgres"])
    server, name = embedded_server(), settings.database_name
    try:
        server.start(on_progress)
    except EmbeddedPostgresError:
        if not asyncio.run(attach(server.url("postgres"), name)):
            raise
    else:
        server.create_database(name)
    try:
        yield server.url(name)
    finally:
        server.stop()  # does nothing to a server that is another process's


def database_settings(service: Service) -> Settings:
    """The settings as they are, whatever else would keep a server from starting. Raises SettingsError."""
    try:
        return service.settings_class()
    except ValidationError:
        return load_settings(service.settings_class)  # says every problem in words


@contextmanager
def migration_target(service: Service, on_progress: Progress) -> Iterator[Target]:
    """Where migrations run: the direct address when there is one.

    Asks for no other setting than the database, so that a release step needs no more.
    """
    settings = database_settings(service)
    direct = settings.direct_database_url
    if direct is not None:
        yield Target(direct.get_secret_value(), on_progress)
        return
    with database_url(settings, on_progress) as url:
        yield Target(url, on_progress)
