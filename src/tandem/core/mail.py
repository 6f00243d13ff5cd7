"""Handing mail to a server: a Protocol with SMTP behind it, and a folder of .eml files for development.

Where a mail is handed over is the whole question of "did it go out?", so the steps are apart: `begin` names sender and
recipient, which a server may refuse and which sends nothing; `deliver` gives it the message, after which only its
answer says whether it took it. Every failure says which of the two it was:

    MailRefused           the server said no: `permanent` (5xx) or for now (4xx); it does not have the message
    MailNotSent           the connection broke, or none could be made, before the message was given away
    MailOutcomeUnknown    it broke after: the server may have it or not, and nobody may send it again unasked
"""

import asyncio
import contextlib
import os
import re
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import aiosmtplib

COMMAND_TIMEOUT = 30.0  # seconds for an answer to a command
DELIVERY_TIMEOUT = 120.0  # seconds for the answer to a message; RFC 5321 4.5.3.2.6 allows a server ten minutes
PER_CONNECTION = 500  # messages after which a connection is made anew, as providers ask for
_ADDRESS = re.compile(r"[!-;=?-~]+@[!-;=?-~]+")  # printable ASCII, without the brackets that enclose it
_ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")

Stage = Literal["connect", "sender", "recipient", "message"]


class MailError(Exception):
    """The message of a mail could not be handed over, or not for certain."""


class MailNotSent(MailError):
    """The server does not have the message. `connected` is False when it could not even be reached."""

    def __init__(self, reason: str, *, connected: bool = True) -> None:
        super().__init__(reason)
        self.connected = connected


class MailOutcomeUnknown(MailError):
    """The message was given away, and no answer came."""


class MailRefused(MailError):
    """The server's answer: `code` as in 550, `enhanced` as in 5.1.1 (RFC 3463) or empty, `stage` what it was about."""

    def __init__(self, stage: Stage, code: int, text: str) -> None:
        super().__init__(f"{code} {text}"[:500])
        self.stage: Stage = stage
        self.code = code
        found = _ENHANCED.search(text)
        self.enhanced = found[0] if found else ""

    @property
    def permanent(self) -> bool:
        return self.code >= 500


class MailConnection(Protocol):
    """One conversation with a server, for one mail after the other."""

    async def begin(self, sender: str, recipient: str) -> None:
        """Raises MailRefused or MailNotSent."""

    async def deliver(self, message: bytes) -> str:
        """The server's words on taking it. Raises MailRefused, MailNotSent or MailOutcomeUnknown."""

    async def abandon(self) -> None:
        """Of what was begun, nothing comes. Raises nothing."""


class Mailer(Protocol):
    def connection(self) -> AbstractAsyncContextManager[MailConnection]:
        """A conversation that is opened when it is first needed, and again when the server ended it."""


class SmtpUrlError(ValueError):
    """SMTP_URL cannot be read; the message never repeats it."""


@dataclass(frozen=True)
class SmtpUrl:
    """`starttls` None: when the server offers it."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: bool
    starttls: bool | None

    @classmethod
    def parse(cls, text: str) -> "SmtpUrl":
        """`smtp://user:password@host:587` or `smtps://host:465`; `?starttls=always|never`. Raises SmtpUrlError.

        A password is never sent in the clear to another machine: with one, STARTTLS is required unless it is refused
        by name.
        """
        try:
            url = urlsplit(text.strip())
            port = url.port
        except ValueError:
            raise SmtpUrlError(_HOW) from None
        options = dict(part.partition("=")[::2] for part in url.query.split("&") if part)
        starttls = {"always": True, "never": False, None: None}.get(options.pop("starttls", None), ...)
        if url.scheme not in {"smtp", "smtps"} or not url.hostname or url.path.strip("/") or options or starttls is ...:
            raise SmtpUrlError(_HOW)
        tls = url.scheme == "smtps"
        username = unquote(url.username) if url.username else None
        if not tls and starttls is None and username:
            starttls = True
        password = unquote(url.password) if url.password is not None else None
        default = 465 if tls else 587 if username else 25
        return cls(url.hostname, port or default, username, password, tls, False if tls else starttls)


_HOW = "expected smtp://user:password@host:587 or smtps://user:password@host:465, with ?starttls=always or never"


class SmtpMailer:
    """`name` is what it calls itself in EHLO: a domain of the sender's."""

    def __init__(self, where: SmtpUrl, name: str) -> None:
        self._where, self._name = where, name
        self._context: ssl.SSLContext | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[MailConnection]:
        connection = _SmtpConnection(self._connect)
        try:
            yield connection
        finally:
            await connection.close()

    async def _connect(self) -> "aiosmtplib.SMTP":
        """Raises MailNotSent."""
        import aiosmtplib

        where = self._where
        if self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context)
        client = aiosmtplib.SMTP(
            hostname=where.host,
            port=where.port,
            username=where.username,
            password=where.password,
            use_tls=where.tls,
            start_tls=where.starttls,
            tls_context=self._context,
            local_hostname=self._name,
            timeout=COMMAND_TIMEOUT,
        )
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            client.close()
            raise MailNotSent(f"the mail server cannot be used: {_said(error)}", connected=False) from None
        except BaseException:
            client.close()
            raise
        return client


class _SmtpConnection:
    def __init__(self, connect: Callable[[], Awaitable["aiosmtplib.SMTP"]]) -> None:
        self._connect = connect
        self._client: aiosmtplib.SMTP | None = None
        self._messages = 0

    async def begin(self, sender: str, recipient: str) -> None:
        import aiosmtplib

        if not _ADDRESS.fullmatch(recipient):  # aiosmtplib would make something of it
            raise MailRefused("recipient", 553, "5.1.3 this address cannot be written to")
        for fresh in (self._client is None, True):
            client = await self._opened()
            try:
                await client.mail(sender)
                await client.rcpt(recipient)
            except aiosmtplib.SMTPResponseException as error:
                stage: Stage = "recipient" if isinstance(error, aiosmtplib.SMTPRecipientRefused) else "sender"
                if error.code == 421 and stage == "sender" and not fresh:
                    continue  # the server ended a conversation that lay idle
                await self.abandon()
                raise MailRefused(stage, error.code, error.message) from None
            except (aiosmtplib.SMTPException, OSError) as error:
                self._drop()
                if fresh:
                    raise MailNotSent(_said(error)) from None
                continue
            except BaseException:  # cancelled in the middle: an answer is still to come
                self._drop()
                raise
            return

    async def deliver(self, message: bytes) -> str:
        import aiosmtplib

        client, protocol = self._client, self._client.protocol if self._client is not None else None
        if client is None or protocol is None:
            raise MailNotSent("the connection was lost before the message")
        given = False
        try:
            answer = await client.execute_command(b"DATA")
            if answer.code == 354:
                given = True
                protocol.write(_on_the_wire(message))
                answer = await protocol.read_response(timeout=DELIVERY_TIMEOUT)
        except (aiosmtplib.SMTPException, OSError) as error:
            self._drop()
            if given:
                raise MailOutcomeUnknown(_said(error)) from None
            raise MailNotSent(_said(error)) from None
        except BaseException:
            self._drop()
            raise
        self._messages += 1
        if answer.code != 250:
            if answer.code == 421:
                self._drop()
            raise MailRefused("message", answer.code, answer.message)
        return answer.message[:500]

    async def abandon(self) -> None:
        if self._client is None:
            return
        if not self._client.is_connected:
            self._drop()
            return
        try:
            await self._client.rset()
        except Exception:
            self._drop()
        except BaseException:
            self._drop()
            raise

    async def close(self) -> None:
        if self._client is not None and self._client.is_connected:
            with contextlib.suppress(Exception):
                await self._client.quit(timeout=2)
        self._drop()

    async def _opened(self) -> "aiosmtplib.SMTP":
        if self._client is not None and (not self._client.is_connected or self._messages >= PER_CONNECTION):
            await self.close()
        if self._client is None:
            self._client, self._messages = await self._connect(), 0
        return self._client

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class FolderMailer:
    """Writes each mail into a file of its own, whole or not at all. Nobody is sent anything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[MailConnection]:
        yield _FolderConnection(self.folder)


class _FolderConnection:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def begin(self, sender: str, recipient: str) -> None:  # noqa: ARG002 - it takes any
        return

    async def deliver(self, message: bytes) -> str:
        return await asyncio.to_thread(self._write, message)

    async def abandon(self) -> None:
        return

    def _write(self, message: bytes) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(6)}.eml"
        part = self._folder / f".{name}.part"
        part.write_bytes(message)
        os.replace(part, self._folder / name)  # noqa: PTH105 - one call that either happens or does not
        return f"written to {name}"


def _on_the_wire(message: bytes) -> bytes:
    """With CRLF at every line's end, a leading dot doubled and the end marked (RFC 5321 4.5.2)."""
    message = re.sub(rb"\r\n|\r|\n", b"\r\n", message)
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", message) + b".\r\n"


def _said(error: BaseException) -> str:
    """What went wrong, in one line; aiosmtplib's texts carry no credentials."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
