"""A real SMTP server on the loopback, in a process of its own, that writes down every message it takes.

What it does with a recipient is in the local part: `refuse+…` and `defer-twice+…` and so on, see `_FAULTS`. With
`chaos` it does all of that to some of the recipients, by a digest of their address, the same in every run.
"""

import asyncio
import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

from tests.servers import free_port

_FAULTS = {
    "refuse": "550 5.1.1 no such user here",
    "full": "552 5.2.2 mailbox full",
    "blocked": "550 5.7.1 not wanted here",
    "defer": "451 4.7.1 greylisted",
    "busy": "421 4.3.2 too busy",
}
_CHAOS = [
    "refuse",
    "defer-once",
    "busy-once",
    "busy-data-once",
    "drop-before-once",
    "drop-after-once",
    "defer-data-once",
]


def fault_of(address: str, chaos: int = 0) -> str:
    """What the server does with this recipient; empty for nothing but to take its mail."""
    name, plus, _ = address.partition("@")[0].partition("+")
    if plus:
        return name
    digest = int.from_bytes(hashlib.sha256(address.encode()).digest()[:4], "big")
    return _CHAOS[digest // chaos % len(_CHAOS)] if chaos and digest % chaos == 0 else ""


class Handler:
    """`taken` has a line for each message: its Message-ID, its recipient, and when it came."""

    def __init__(self, taken: Path, chaos: int) -> None:
        self._file = taken.open("ab", buffering=0)
        self._chaos = chaos  # one in so many recipients has a fault
        self._seen: Counter[str] = Counter()

    def _fault(self, address: str, stage: str) -> str | None:
        """The fault of the recipient, if it is about this stage and not used up."""
        name = fault_of(address, self._chaos)
        at = "data" if "data" in name or "drop" in name else "rcpt"
        if not name or at != stage or (name.split("-")[0] not in _FAULTS and "drop" not in name):
            return None
        self._seen[address] += 1
        most = 2 if "twice" in name else 1 if "once" in name else 10**9
        return name if self._seen[address] <= most else None

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        fault = self._fault(address, "rcpt")
        if fault is not None:
            return _FAULTS[fault.split("-")[0]]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        address = envelope.rcpt_tos[0]
        fault = self._fault(address, "data")
        if fault is not None and fault.startswith("drop-before"):  # it does not keep the message
            server.transport.abort()
            return "250 unheard"
        if fault is not None and not fault.startswith("drop-after"):
            return _FAULTS[fault.split("-")[0]]
        message = message_from_bytes(envelope.content)
        line = {"id": message["Message-ID"], "to": address, "from": envelope.mail_from, "at": time.time()}
        if not self._chaos:
            line["raw"] = envelope.content.decode("latin-1")
        self._file.write(json.dumps(line).encode() + b"\n")
        if fault is not None:
            server.transport.abort()
        return "250 2.0.0 taken"


async def serve(port: int, taken: Path, chaos: int) -> None:
    from aiosmtpd.smtp import SMTP

    handler = Handler(taken, chaos)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="mx.test", loop=loop, enable_SMTPUTF8=False), "127.0.0.1", port
    )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.serve_forever()


class SmtpServer:
    def __init__(self, port: int, file: Path) -> None:
        self.port, self.url, self._file = port, f"smtp://127.0.0.1:{port}", file

    def taken(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._file.read_text().splitlines()]

    def clear(self) -> None:
        """The process appends, so what it writes next is the first line again."""
        self._file.write_text("")

    def counts(self) -> Counter[str]:
        return Counter(one["id"] for one in self.taken())

    def messages(self) -> list[Message]:
        return [message_from_bytes(one["raw"].encode("latin-1")) for one in self.taken()]


@contextmanager
def smtp_server(folder: Path, *, chaos: int = 0) -> Iterator[SmtpServer]:
    port, file = free_port(), folder / "taken.jsonl"
    file.touch()
    command = [sys.executable, "-m", "tests.smtp_server", str(port), str(file), str(chaos)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[1]
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield SmtpServer(port, file)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
