"""What is examined: one service with the environment of this process, judged as a production would be."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tandem.core.postgres_url import DatabaseUrl, DatabaseUrlError, parse_database_url
from tandem.core.revisions import project_dir
from tandem.core.settings import Settings, SettingsError, load_settings
from tandem.ops.services import Service

LastBackup = Callable[[Service, Settings], datetime | None]
"""When the newest usable backup of a service was made, or None. Raises OperatorError when it cannot tell."""


@dataclass(frozen=True)
class Subject:
    """`settings` is None when the environment cannot be read; `problems` then say why.

    `deployed` are the problems of the same environment with ENVIRONMENT=production, whatever it is now.
    """

    service: Service
    settings: Settings | None
    deployed: tuple[str, ...]
    checkout: Path | None = field(default_factory=project_dir)
    last_backup: LastBackup | None = None

    @property
    def database(self) -> DatabaseUrl | None:
        """Where the service connects, when the URL can be read."""
        return _readable(self.settings.database_url) if self.settings else None

    @property
    def direct_database(self) -> DatabaseUrl | None:
        return _readable(self.settings.direct_database_url) if self.settings else None


def subject_of(service: Service, last_backup: LastBackup | None = None) -> Subject:
    """Reads the environment and `.env`, as a start does."""
    cls = service.settings_class
    try:
        settings: Settings | None = cls()
    except ValidationError:
        settings = None
    problems = dict.fromkeys([*_problems(cls, environment="production"), *(_problems(cls) if settings is None else ())])
    return Subject(service, settings, tuple(problems), last_backup=last_backup)


def _problems(cls: type[Settings], **overrides: Any) -> list[str]:
    try:
        load_settings(cls, **overrides)
    except SettingsError as error:
        return error.problems
    return []


def _readable(url: Any) -> DatabaseUrl | None:
    try:
        return parse_database_url(url.get_secret_value()) if url is not None else None
    except DatabaseUrlError:
        return None
