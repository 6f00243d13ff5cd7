"""The doctor inside the containers of compose.yaml: their environment, on a real Postgres and a real Redis."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tandem.core.mail import SmtpUrl
from tandem.market_ai.settings import MarketAiSettings
from tests.ops.test_cli import TANDEM, fetch, tandem
from tests.redis_server import RedisServer, needs_redis
from tests.servers import RunningServer, clean_environment, free_port

ROOT = Path(__file__).parents[3]
PRODUCTION = {  # the .env of docs/deploy-docker.md
    "POSTGRES_PASSWORD": "9c1f0b7a3e5d",
    "SESSION_HASH_SECRET": "f3a91c7e5b2d48069ce1d7a4b85f2063",
    "ENVIRONMENT": "production",
    "CORS_ORIGINS": "https://app.netlify.app",
    "OPENAI_API_KEY": "sk-test-8f2a6c1e9b3d",
    "CLERK_DOMAIN": "clerk.acme.dev",
}


def environment_of(container: str, database: str, redis: str, port: int) -> dict[str, str]:
    """What a container is given, with the addresses of this machine in the place of the network's."""
    given = given_to(container, PRODUCTION)
    assert re.fullmatch(r"postgresql://tandem:9c1f0b7a3e5d@postgres:5432/\w+", given["DATABASE_URL"])
    return PRODUCTION | given | {"DATABASE_URL": database, "REDIS_URL": redis, "PORT": str(port)}


def given_to(container: str, dotenv: dict[str, str]) -> dict[str, str]:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return {name: _interpolated(text, dotenv) for name, text in compose["services"][container]["environment"].items()}


def _interpolated(text: str, dotenv: dict[str, str]) -> str:
    """As compose does it: `${NAME:?message}`, `${NAME:-otherwise}`, `${NAME:+instead}`, the innermost first."""

    def value(found: re.Match[str]) -> str:
        known, how, other = dotenv.get(found[1], ""), found[2], found[3]
        return {"?": known, "-": known or other, "+": other if known else ""}[how]

    while (done := re.sub(r"\$\{(\w+):([?+-])([^{}]*)\}", value, text)) != text:
        text = done
    return text


MAIL = ("SMTP_URL", "MAIL_FROM", "PUBLIC_URL")


@pytest.mark.parametrize("container", ["market-ai", "market-ai-worker"])
def test_mail_goes_to_the_catcher_of_the_profile_dev_unless_the_env_file_says_otherwise(container: str) -> None:
    plain, dev = given_to(container, PRODUCTION), given_to(container, PRODUCTION | {"COMPOSE_PROFILES": "dev"})
    assert [plain[name] for name in MAIL] == ["", "", ""]
    settings = MarketAiSettings(_env_file=None, **{name: dev[name] for name in MAIL})  # type: ignore[arg-type]
    assert settings.smtp_url is not None
    assert SmtpUrl.parse(settings.smtp_url.get_secret_value()).host == "mail"
    assert settings.public_url == "http://127.0.0.1:8001"
    assert settings.mail_from == "Tandem <tandem@example.com>"
    own = PRODUCTION | {"COMPOSE_PROFILES": "dev", "SMTP_URL": "smtp://other", "MARKET_AI_PORT": "9001"}
    assert given_to(container, own)["SMTP_URL"] == "smtp://other"
    assert given_to(container, own)["PUBLIC_URL"] == "http://127.0.0.1:9001"


@needs_redis
def test_the_doctor_is_green_in_the_containers_of_compose(market_url: str, database_url: str, tmp_path: Path) -> None:
    with RedisServer() as redis:
        port = free_port()
        momentum = environment_of("momentum", database_url, redis.url, port)
        with RunningServer([*TANDEM, "serve", "momentum"], port, clean_environment(**momentum), tmp_path):
            _wait_for_worker(database_url)
            told = tandem("doctor", "momentum", cwd=tmp_path, **momentum)
            assert told.returncode == 0, told.stdout
        port = free_port()
        worker = environment_of("market-ai-worker", market_url, redis.url, port)
        command = [*TANDEM, "worker", "market-ai", "--health-port", str(port)]
        with RunningServer(command, port, clean_environment(**worker), tmp_path):
            _wait_for_worker(market_url)
            api = environment_of("market-ai", market_url, redis.url, free_port())
            told = tandem("doctor", "market-ai", cwd=tmp_path, **api)
            assert told.returncode == 0, told.stdout


def _wait_for_worker(url: str) -> None:
    for _ in range(600):
        if fetch(url, "SELECT count(*) FROM job_workers")[0][0]:
            return
        time.sleep(0.1)
    pytest.fail("no worker said that it lives")
