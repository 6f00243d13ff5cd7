"""Momentum's settings."""

from typing import ClassVar

from tandem.core.settings import Settings


class MomentumSettings(Settings):
    service: ClassVar[str] = "momentum-todo-api"
    database_name: ClassVar[str] = "momentum"
