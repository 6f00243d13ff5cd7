"""The doctor inside the containers of compose.yaml: their environment, on a real Postgres and a real Redis."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

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
    compose: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    given = {name: _interpolated(value) for name, value in compose["services"][container]["environment"].items()}
    assert re.fullmatch(r"postgresql://tandem:9c1f0b7a3e5d@postgres:5432/\w+", given["DATABASE_URL"])
    return PRODUCTION | given | {"DATABASE_URL": database, "REDIS_URL": redis, "PORT": str(port)}


def _interpolated(text: str) -> str:
    return re.sub(r"\$\{(\w+):[?-][^}]*\}", lambda found: PRODUCTION[found[1]], text)


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
