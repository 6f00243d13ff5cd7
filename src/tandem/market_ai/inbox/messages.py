"""What a producer pushes, and what becomes of it on its way: raw in the queue, stamped once a worker has it.

Two producers may push the same text and mean two jobs, so a message is told apart by the stamp that the worker gives
it: the id of the job that it will be. Whoever finds a stamped message again makes the same job, which exists already.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tandem.core.errors import Problem
from tandem.core.ids import uuid7
from tandem.core.jobs import JobPayload
from tandem.core.requests import parse_json

MAX_BYTES = 1_000_000
_STAMPED = re.compile(rb"tandem:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):(.*)", re.DOTALL)

Maker = Callable[[Mapping[str, Any], str], JobPayload]
"""A message and the organization of its campaign to what the job is asked to do. What it raises rejects the message."""


class Rejected(Exception):
    """The message can never become a job; the text says why."""


@dataclass(frozen=True)
class Taken:
    """A message in a worker's list. `entry` is how it stands there; `job_id` is None before it is stamped."""

    entry: bytes
    raw: bytes
    job_id: UUID | None

    @classmethod
    def of(cls, entry: bytes) -> "Taken":
        found = _STAMPED.fullmatch(entry)
        return cls(entry, entry, None) if found is None else cls(entry, found[2], UUID(found[1].decode()))

    def stamped(self) -> "Taken":
        job_id = uuid7()
        return Taken(b"tandem:%s:%s" % (str(job_id).encode(), self.raw), self.raw, job_id)


@dataclass(frozen=True)
class Message:
    type: str
    campaign_id: UUID
    body: dict[str, Any]


def read_message(raw: bytes, makers: Mapping[str, Maker]) -> Message:
    """Raises Rejected."""
    if len(raw) > MAX_BYTES:
        raise Rejected(f"longer than {MAX_BYTES} bytes")
    try:
        body = parse_json(raw)
    except Problem as problem:
        raise Rejected(problem.detail) from None
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise Rejected("not an object with a type")
    name = body["type"]
    if name not in makers:
        raise Rejected(f"no such job type: {name[:100]!r}; there are {', '.join(sorted(makers))}")
    try:
        campaign_id = UUID(body["campaign_id"])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise Rejected("campaign_id is missing or no UUID") from None
    return Message(name, campaign_id, body)


def rejection(raw: bytes, reason: str) -> bytes:
    """The entry of the list of rejected messages: JSON with the message as it was, in base64 where it is no text."""
    kept: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "reason": reason}
    try:
        kept["message"] = raw.decode()
    except UnicodeDecodeError:
        kept["message_base64"] = base64.b64encode(raw).decode()
    return json.dumps(kept, ensure_ascii=False).encode()
