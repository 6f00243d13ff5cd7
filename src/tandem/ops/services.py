"""The services of this distribution, by the name the command line knows them under.

Modules are named as text and imported when asked for, so that `tandem --help` loads no service.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData

from tandem.core.revisions import migrations_dir
from tandem.core.settings import Settings

if TYPE_CHECKING:
    from tandem.core.jobs.registry import Jobs


@dataclass(frozen=True)
class Service:
    """`app` is the ASGI application for a server's command line; the others are `module:attribute`."""

    name: str
    title: str
    app: str
    settings_path: str
    metadata_path: str
    port_variable: str
    default_port: int
    jobs_path: str = ""  # none: the service has no worker
    mailbox: str = ""  # where mails can be read in development, unless SMTP_URL is set

    @property
    def settings_class(self) -> type[Settings]:
        loaded: type[Settings] = _load(self.settings_path)
        return loaded

    @property
    def metadata(self) -> MetaData:
        """Every table of the service, the shared ones included."""
        loaded: MetaData = _load(self.metadata_path)
        return loaded

    @property
    def jobs(self) -> "Jobs":
        """Who handles which job, and what runs by the clock."""
        loaded: Jobs = _load(self.jobs_path)
        return loaded

    @property
    def versions_dir(self) -> Path:
        return migrations_dir() / self.name.replace("-", "_") / "versions"


SERVICES = {
    "momentum": Service(
        name="momentum",
        title="Momentum",
        app="tandem.momentum.main:app",
        settings_path="tandem.momentum.settings:MomentumSettings",
        metadata_path="tandem.momentum.tables:metadata",
        jobs_path="tandem.momentum.worker:JOBS",
        port_variable="MOMENTUM_PORT",
        default_port=8000,
    ),
    "market-ai": Service(
        name="market-ai",
        title="Market AI",
        app="tandem.market_ai.main:app",
        settings_path="tandem.market_ai.settings:MarketAiSettings",
        metadata_path="tandem.market_ai.tables:metadata",
        jobs_path="tandem.market_ai.worker:JOBS",
        mailbox="/dev/mail",
        port_variable="MARKET_AI_PORT",
        default_port=8001,
    ),
}


def _load(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)
