"""A real nginx on the loopback, configured as docs/operations.md says."""

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers import free_port

PROGRAM = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")  # Debian's is for root
DOCS = Path(__file__).parents[1] / "docs" / "operations.md"
MAIN = """
daemon off;
{user}
worker_processes 1;
pid {here}/nginx.pid;
error_log {here}/error.log info;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {here}/body;
    proxy_temp_path {here}/proxy;
    fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi;
    scgi_temp_path {here}/scgi;
{sites}
}}
"""


class Nginx:
    """Inside a `with` block it passes on to `ports`. Its settings are those of the documentation, its ports are not."""

    def __init__(self, directory: Path, *ports: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._here = directory / "nginx"
        documented = re.search(r"```nginx\n(.*?)```", DOCS.read_text(), re.DOTALL)
        assert documented is not None
        sites = documented[1]
        for example, port in zip(
            ("127.0.0.1:8000", "127.0.0.1:8010", "127.0.0.1:8080"), (*ports, self.port), strict=True
        ):
            assert sites.count(example) == 1
            sites = sites.replace(example, f"127.0.0.1:{port}")
        user = "user root;" if os.geteuid() == 0 else ""
        self._here.mkdir()
        (self._here / "nginx.conf").write_text(MAIN.format(here=self._here, user=user, sites=sites))

    def __enter__(self) -> Self:
        assert PROGRAM is not None, "no nginx: run scripts/system-packages nginx"
        command = [PROGRAM, "-p", str(self._here), "-c", "nginx.conf", "-e", str(self._here / "error.log")]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not self._answers():
            assert self._process.poll() is None, self.errors()
            assert time.monotonic() < deadline, self.errors()
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(20)

    def errors(self) -> str:
        return (self._here / "error.log").read_text()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.5).close()
        except OSError:
            return False
        return True
