"""Has documents read and cut into chunks, each by a process of its own that cannot harm this one."""

import asyncio
import functools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import structlog

from tandem.core.errors import Problem, Unavailable
from tandem.market_ai.knowledge.blocks import Format
from tandem.market_ai.knowledge.languages import Language

CPU_SECONDS = 15
SECONDS = 30
MEMORY = 512 * 1024 * 1024
_AT_ONCE, _MAX_WAITING = 2, 10  # the latter counts those being read too
_MODULE = "tandem.market_ai.knowledge.reading_process"
# What Python needs to start; nothing that is a secret.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "SYSTEMROOT")

log = structlog.get_logger(__name__)


class UnreadableDocument(Problem):
    status, code, title = 422, "unreadable_document", "The document cannot be read"


class EncryptedDocument(UnreadableDocument):
    code, title = "encrypted_document", "The document is protected with a password"


class NoText(UnreadableDocument):
    code, title = "no_text", "The document has no text"


class UndecodableText(UnreadableDocument):
    code, title = "undecodable_text", "The text is not in the encoding that it should be in"


class DocumentTooLarge(UnreadableDocument):
    code, title = "document_too_large", "The document has too much text"


class DocumentTooComplex(UnreadableDocument):
    code, title = "document_too_complex", "Reading the document takes too long or too much memory"


class ReadingBusy(Unavailable):
    code, title = "reading_busy", "Too many documents are being read at this moment"


_REFUSALS: dict[str, type[UnreadableDocument]] = {one.code: one for one in UnreadableDocument.__subclasses__()}
_REFUSALS[UnreadableDocument.code] = UnreadableDocument


class Reading(NamedTuple):
    """What a document is, and its chunks as a JSON array of {id, heading, page, text}."""

    title: str | None
    language: Language
    pages: int | None
    characters: int
    chunks: int
    rows: str


_waiting = 0


async def read_document(data: bytes, kind: Format, charset: str = "utf-8") -> Reading:
    """Hold no connection meanwhile: it takes up to SECONDS. Raises UnreadableDocument or ReadingBusy."""
    global _waiting  # noqa: PLW0603 - one pool a process, so one queue
    if _waiting >= _MAX_WAITING:
        raise ReadingBusy()
    _waiting += 1
    try:
        answer = await asyncio.get_running_loop().run_in_executor(_pool(), _run, data, kind, charset)
    finally:
        _waiting -= 1
    header, _, rows = answer.partition("\n")
    found: dict[str, Any] = json.loads(header)
    if "error" in found:
        raise _REFUSALS[found["error"]](found["detail"])
    return Reading(**found, rows=rows)


def _run(data: bytes, kind: Format, charset: str) -> str:
    # -P: a file in the working directory must not be taken for a module.
    command = [sys.executable, "-P", "-m", _MODULE, kind, charset, str(MEMORY), str(CPU_SECONDS)]
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and every argument is one of ours
            command, input=data, capture_output=True, timeout=SECONDS, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise DocumentTooComplex() from None
    if done.returncode < 0:  # killed: by its limit of processor time, or where memory ran out
        raise DocumentTooComplex()
    if done.returncode > 0:
        log.error("document_not_read", format=kind, size=len(data), output=done.stderr[-2000:].decode(errors="replace"))
        raise UnreadableDocument()
    return done.stdout.decode("ascii")


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="reading")
