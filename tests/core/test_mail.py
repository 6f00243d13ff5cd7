"""Handing mail over: what a server's answers and silences are taken for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tandem.core.mail import (
    FolderMailer,
    MailNotSent,
    MailOutcomeUnknown,
    MailRefused,
    SmtpMailer,
    SmtpUrl,
    SmtpUrlError,
)
from tests.servers import free_port

MESSAGE = b"Subject: x\r\n\r\n.begins with a dot\n..two\r\nlast"


class Script:
    """A server that answers each command by its first word, hangs up for None, and keeps what it is sent."""

    def __init__(self, **answers: str | None) -> None:
        self.answers = {"EHLO": "250 mx", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go", ".": "250 2.0.0 got it",
                        "RSET": "250 ok", "QUIT": "221 bye"} | answers  # fmt: skip
        self.commands: list[str] = []
        self.message = b""
        self.connections = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx\r\n")
        while line := await reader.readline():
            word = line.split()[0].decode().upper()
            self.commands.append(line.decode().strip())
            if (answer := self.answers[word]) is None:
                break
            writer.write(answer.encode() + b"\r\n")
            if answer.startswith("354"):
                self.message = await reader.readuntil(b"\r\n.\r\n")
                if (answer := self.answers["."]) is None:
                    break
                writer.write(answer.encode() + b"\r\n")


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[SmtpMailer]:
    talking = set[asyncio.Task[None]]()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talking.add(asyncio.create_task(script.talk(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    async with server:
        yield SmtpMailer(SmtpUrl.parse(f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"), "bakery.test")
    async with asyncio.timeout(10):
        await asyncio.gather(*talking, return_exceptions=True)


async def hand_over(mailer: SmtpMailer, times: int = 1, before_each: Callable[[], None] = lambda: None) -> str:
    answer = ""
    async with mailer.connection() as server:
        for _ in range(times):
            before_each()
            await server.begin("news@bakery.test", "ada@a.test")
            answer = await server.deliver(MESSAGE)
    return answer


async def test_a_message_goes_out_as_it_is_and_the_connection_is_used_again() -> None:
    script = Script()
    async with serving(script) as mailer:
        assert await hand_over(mailer, times=3) == "2.0.0 got it"
    assert script.message == b"Subject: x\r\n\r\n..begins with a dot\r\n...two\r\nlast\r\n.\r\n"
    assert script.connections == 1
    assert script.commands[0] == "EHLO bakery.test"
    assert script.commands[1:4] == ["MAIL FROM:<news@bakery.test>", "RCPT TO:<ada@a.test>", "DATA"]


@pytest.mark.parametrize(
    ("answers", "stage", "code", "enhanced", "permanent"),
    [
        ({"MAIL": "530 authenticate first"}, "sender", 530, "", True),
        ({"MAIL": "421 busy"}, "sender", 421, "", False),
        ({"RCPT": "550 5.1.1 nobody"}, "recipient", 550, "5.1.1", True),
        ({"RCPT": "450 4.2.1 later"}, "recipient", 450, "4.2.1", False),
        ({"DATA": "503 no"}, "message", 503, "", True),
        ({".": "554 5.7.1 spam"}, "message", 554, "5.7.1", True),
        ({".": "421 4.3.2 closing"}, "message", 421, "4.3.2", False),
    ],
)
async def test_a_refusal_says_what_it_is_about(
    answers: dict[str, str], stage: str, code: int, enhanced: str, permanent: bool
) -> None:
    async with serving(Script(**answers)) as mailer:
        with pytest.raises(MailRefused) as refused:
            await hand_over(mailer)
    error = refused.value
    assert (error.stage, error.code, error.enhanced, error.permanent) == (stage, code, enhanced, permanent)


@pytest.mark.parametrize("word", ["MAIL", "RCPT", "DATA"])
async def test_a_connection_lost_before_the_message_has_sent_nothing(word: str) -> None:
    async with serving(Script(**{word: None})) as mailer:
        with pytest.raises(MailNotSent) as lost:
            await hand_over(mailer)
    assert lost.value.connected


async def test_a_connection_lost_after_the_message_leaves_its_outcome_unknown() -> None:
    async with serving(Script(**{".": None})) as mailer:
        with pytest.raises(MailOutcomeUnknown):
            await hand_over(mailer)


async def test_a_server_that_is_not_there_has_been_sent_nothing() -> None:
    mailer = SmtpMailer(SmtpUrl.parse(f"smtp://127.0.0.1:{free_port()}"), "bakery.test")
    with pytest.raises(MailNotSent) as away:
        await hand_over(mailer)
    assert not away.value.connected


async def test_a_conversation_that_the_server_ended_meanwhile_is_begun_anew() -> None:
    script = Script()
    turns = iter(["250 ok", "421 idle too long"])

    def next_turn() -> None:
        script.answers["MAIL"] = next(turns)
        if script.answers["MAIL"].startswith("421"):
            asyncio.get_running_loop().call_later(0.2, script.answers.update, {"MAIL": "250 ok"})

    async with serving(script) as mailer:
        script.answers["EHLO"] = "250 mx"
        with pytest.raises(MailRefused):  # as long as it says so to a fresh conversation too
            await hand_over(mailer, times=2, before_each=next_turn)
    assert script.connections == 2


@pytest.mark.parametrize("address", ["ada@a.test\r\nRCPT TO:<eve@a.test>", "ädä@a.test", "ada@a.test>\nDATA"])
async def test_an_address_cannot_carry_a_command(address: str) -> None:
    script = Script()
    async with serving(script) as mailer, mailer.connection() as server:
        with pytest.raises(MailRefused) as refused:
            await server.begin("news@bakery.test", address)
        assert (refused.value.stage, refused.value.permanent) == ("recipient", True)
    assert not any("RCPT" in command or "eve" in command for command in script.commands)


async def test_a_folder_gets_a_file_for_each_mail(tmp_path: Path) -> None:
    async with FolderMailer(tmp_path / "mail").connection() as server:
        for _ in range(2):
            await server.begin("a@b.test", "c@d.test")
            assert "written" in await server.deliver(MESSAGE)
    files = sorted((tmp_path / "mail").iterdir())
    assert [file.read_bytes() for file in files] == [MESSAGE, MESSAGE]
    assert {file.suffix for file in files} == {".eml"}


def test_an_smtp_url_is_read_and_its_password_never_goes_out_in_the_clear() -> None:
    url = SmtpUrl.parse("smtp://ada%40x:p%2Fw@mx.test")
    assert (url.username, url.password, url.port, url.tls, url.starttls) == ("ada@x", "p/w", 587, False, True)
    assert SmtpUrl.parse("smtps://ada:pw@mx.test").port == 465
    assert SmtpUrl.parse("smtp://127.0.0.1:2525").starttls is None
    assert SmtpUrl.parse("smtp://ada:pw@127.0.0.1?starttls=never").starttls is False
    for bad in ("http://x", "smtp://", "mx.test:25", "smtp://x:port", "smtp://x/path", "smtp://x?tls=1", "smtp://[x"):
        with pytest.raises(SmtpUrlError) as error:
            SmtpUrl.parse(bad)
        assert "mx.test:25" not in str(error.value)
