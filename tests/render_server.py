"""Render's API on the loopback, as far as a deploy goes: it plays what a test scripts."""

import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

KEY, HOOK_KEY, SERVICE = "rnd_secretsecretsecret", "hook-secret-key", "srv-tandem"
WAY = ("build_in_progress", "pre_deploy_in_progress", "update_in_progress")


class RenderServer(ThreadingHTTPServer):
    """Inside a `with` block it answers. A deploy goes one step further each time somebody asks for it.

    `ways` has what the next deploys come to; `trouble` what happens to the next requests: a status with headers, or
    `None` for a connection that is closed (`"after"`: once the request was carried out). `url` is the service's own.
    """

    daemon_threads = True

    def __init__(self, url: str | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.service_url = url
        self.deploys = [{"id": "dep-0", "status": "live", "commit": {"id": "0" * 40}}]
        self.ways: deque[tuple[str, ...]] = deque()
        self.steps: dict[str, deque[str]] = {}
        self.trouble: deque[tuple[Any, dict[str, str]]] = deque()
        self.queues = False  # answers a trigger with 202 and nothing else, and
        self.hides = 0  # so many lists do not have it yet
        self.auto_deploy = "yes"
        self.requests: list[tuple[str, str, Any]] = []

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def hook(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/deploy/{SERVICE}?key={HOOK_KEY}"

    @property
    def live(self) -> list[str]:
        return [str(one["id"]) for one in self.deploys if one["status"] == "live"]

    def begin(self, commit: str) -> dict[str, Any]:
        deploy = {"id": f"dep-{len(self.deploys)}", "status": "created", "commit": {"id": commit}}
        self.deploys.append(deploy)
        self.steps[str(deploy["id"])] = deque(self.ways.popleft() if self.ways else (*WAY, "live"))
        return deploy

    def step(self, deploy: dict[str, Any]) -> None:
        steps = self.steps.get(deploy["id"])
        if steps:
            deploy["status"] = steps.popleft()
            if deploy["status"] == "live":
                for other in self.deploys:
                    if other is not deploy and other["status"] == "live":
                        other["status"] = "deactivated"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RenderServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PATCH = do_GET  # noqa: N815

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(text) if text else None
        self.server.requests.append((self.command, parts.path, body))
        status, headers = self.server.trouble.popleft() if self.server.trouble else (0, {})
        if status is None:
            self.close_connection = True
            return
        if isinstance(status, int) and status:
            self._send(status, {"message": "as scripted"}, headers)
            return
        result = self._result(parts.path, parse_qs(parts.query), body)
        if status == "after":
            self.close_connection = True
            return
        self._send(*result, {})

    def _result(self, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:  # noqa: PLR0911
        server, service = self.server, f"/v1/services/{SERVICE}"
        if path == f"/deploy/{SERVICE}":
            if query.get("key") != [HOOK_KEY]:
                return 401, {}
            return 200, {"deploy": {"id": server.begin(query.get("ref", ["a" * 40])[0])["id"]}}
        if self.headers["Authorization"] != f"Bearer {KEY}":
            return 401, {"message": "Unauthorized"}
        if path == service and self.command == "PATCH":
            server.auto_deploy = body["autoDeploy"]
        if path == service:
            return 200, {"name": "momentum-todo-api", "autoDeploy": server.auto_deploy,
                         "serviceDetails": {"url": server.service_url}}  # fmt: skip
        if path == f"{service}/deploys" and self.command == "GET":
            hidden = int(server.hides > 0 and bool(server.deploys) and server.deploys[-1]["status"] == "created")
            server.hides -= hidden
            listed = server.deploys[: len(server.deploys) - hidden]
            return 200, [{"deploy": one, "cursor": one["id"]} for one in reversed(listed)]
        if path == f"{service}/deploys":
            made = server.begin(body.get("commitId", "a" * 40))
            return (202, None) if server.queues else (201, made)
        if path == f"{service}/rollback":
            old = next(one for one in server.deploys if one["id"] == body["deployId"])
            return 201, server.begin(str(old["commit"]["id"]))  # type: ignore[index]
        return self._one_deploy(path.removeprefix(f"{service}/deploys/"))

    def _one_deploy(self, rest: str) -> tuple[int, Any]:
        name, _, verb = rest.partition("/")
        deploy = next((one for one in self.server.deploys if one["id"] == name), None)
        if deploy is None:
            return 404, {"message": "not found"}
        if verb == "cancel":
            deploy["status"] = "canceled"
            self.server.steps.pop(name, None)
            return 200, deploy
        self.server.step(deploy)
        return 200, deploy

    def _send(self, status: int, body: Any, headers: dict[str, str]) -> None:
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
