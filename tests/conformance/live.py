"""An application served by uvicorn on a thread of this process, for clients that are not asynchronous."""

import asyncio
import socket
import threading
import time
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self

import requests
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from tandem.momentum.main import build
from tandem.momentum.settings import MomentumSettings
from tests.builders import SECRET, User, signed_up_user

PATIENCE = 30.0  # seconds
NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere"


def values_for(database_url: str, **values: Any) -> dict[str, Any]:
    """Settings of a test: rate limits are out of the way, and the environment is not asked."""
    given: dict[str, Any] = {
        "_env_file": None,
        "environment": "test",
        "database_url": SecretStr(database_url),
        "session_hash_secret": SecretStr(SECRET),
        "rate_limit": "1000000/minute",
        "pool_size": 5,
        "pool_timeout": 10,
        "log_level": "ERROR",
    }
    return given | values


class LiveServer:
    """Inside a `with` block it answers on the loopback; `http` is a connection of the calling thread's own."""

    def __init__(self, app: FastAPI, database_url: str) -> None:
        self.database_url = database_url
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", server_header=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="service", daemon=True)
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # users come and go on it

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + PATIENCE
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            assert time.monotonic() < deadline, "the server is not up yet"
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        self._socket.close()
        assert not self._thread.is_alive()

    def sign_up(self) -> User:
        return asyncio.run(signed_up_user(self.database_url))

    def api(self, user: User, method: str, path: str, **kwargs: Any) -> Any:
        """The parsed answer of a request that must succeed."""
        response = self.http.request(method, self.url + path, headers=user.headers, timeout=PATIENCE, **kwargs)
        assert response.ok, response.text
        return response.json() if response.content else None


def serve(database_url: str, **values: Any) -> LiveServer:
    """Momentum."""
    return LiveServer(build(MomentumSettings(**values_for(database_url, **values))), database_url)
