"""uvicorn, made to leave without failing a request.

On a signal uvicorn closes its listening socket and, in the same step, every connection that is not answering. Both
lose requests: those of connections that the kernel has accepted and the process has not, and those that are on their
way on a connection which a proxy keeps open. A proxy cannot repeat a POST that it has sent, so its client sees a 502.

Here the process takes what waits at its door before it closes it, and keeps its connections for LINGER seconds more.
Their next response says `Connection: close` (`core.middleware`), and only those that stayed silent are closed by us.
"""

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload, multiprocess

if TYPE_CHECKING:
    from collections.abc import Sequence

LINGER = 1.0  # seconds; a request that was on its way when the door closed has long arrived

log = structlog.get_logger(__name__)


def run(config: uvicorn.Config) -> None:
    """What `uvicorn.run` does, with our servers. After the drain the signal is raised anew, as uvicorn does."""
    listening = config.bind_socket()
    if config.should_reload:
        ChangeReload(config, target=Server(config).run, sockets=[listening]).run()
    elif config.workers > 1:
        # uvicorn has no other place to say what its workers are
        multiprocess.Process = WorkerProcess  # type: ignore[misc]
        Supervisor(config, [listening]).run()
    else:
        server = Server(config)
        server.run([listening])
        if not server.started:
            raise SystemExit(STARTUP_FAILURE)


class Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._close_the_door(sockets or [])
        await self._linger()
        await super().shutdown(sockets)

    async def _linger(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LINGER
        while self.server_state.connections and loop.time() < deadline and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def _close_the_door(self, sockets: "Sequence[socket.socket]") -> None:
        """No new connection after this, and none lost: those that already wait are taken.

        With several workers the socket is shared: others may still take from it, and the last one to leave takes all.
        """
        doors = [door.dup() for door in sockets]  # as the loop closes its own
        for server in self.servers:
            server.close()
        for door in sockets:
            door.close()
        for door in doors:
            door.setblocking(False)
            with suppress(OSError):
                while True:
                    connection, _ = door.accept()  # raises BlockingIOError when nobody waits any more
                    connection.setblocking(False)
                    await self._serve_one(connection)
            door.close()

    async def _serve_one(self, connection: socket.socket) -> None:
        config = self.config
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: config.http_protocol_class(  # type: ignore[call-arg]
                config=config, server_state=self.server_state, app_state=self.lifespan.state
            ),
            connection,
        )


class WorkerProcess(multiprocess.Process):
    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = Server(self.config)
        return self._server


class Supervisor(multiprocess.Multiprocess):
    def terminate_all(self) -> None:
        """The parent's copy of the socket goes first: connections would wait at a door that nobody answers."""
        for listening in self.sockets:
            listening.close()
        super().terminate_all()
