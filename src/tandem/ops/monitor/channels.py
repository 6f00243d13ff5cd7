"""Where alerts go: Slack, any webhook, e-mail. Each raises NotDelivered, in words that hold no secret."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from typing import Any
from urllib.parse import urlsplit

import httpx2

from tandem.core.mail import MailError, MailNotSent, SmtpMailer, SmtpUrl, SmtpUrlError
from tandem.core.operator_error import OperatorError

TIMEOUT = 15.0  # seconds


class NotDelivered(Exception):
    """The message did not get through, and may later."""


class WrongChannel(OperatorError):
    exit_status = 2


@dataclass(frozen=True)
class Message:
    """`event` is down, still_down or recovered; `since` is Unix time."""

    event: str
    url: str
    text: str
    reason: str
    since: float

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


Send = Callable[[Message], None]


def channels(environment: Mapping[str, str]) -> dict[str, Send]:
    """Those that are configured, by name. Raises WrongChannel."""
    found: dict[str, Send] = {}
    if slack := environment.get("SLACK_WEBHOOK"):
        found["Slack"] = _poster(slack, "SLACK_WEBHOOK", lambda message: {"text": message.text})
    if webhook := environment.get("MONITOR_WEBHOOK"):
        found["webhook"] = _poster(webhook, "MONITOR_WEBHOOK", Message.as_json)
    if to := environment.get("MONITOR_EMAIL"):
        found["e-mail"] = _mailer(environment, [one.strip() for one in to.split(",") if one.strip()])
    return found


def _poster(url: str, variable: str, body: Callable[[Message], dict[str, Any]]) -> Send:
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise WrongChannel(f"{variable} is no http address")

    def send(message: Message) -> None:
        try:
            answer = httpx2.post(url, json=body(message), timeout=TIMEOUT)
        except httpx2.HTTPError as error:
            raise NotDelivered(f"no answer ({type(error).__name__})") from None
        if not answer.is_success:
            raise NotDelivered(f"it answered {answer.status_code}")

    return send


def _mailer(environment: Mapping[str, str], to: list[str]) -> Send:
    """By SMTP_URL, as Market AI's."""
    sender = environment.get("MONITOR_EMAIL_FROM") or to[0]
    address = parseaddr(sender)[1]
    try:
        mailer = SmtpMailer(SmtpUrl.parse(environment.get("SMTP_URL", "")), address.rpartition("@")[2])
    except SmtpUrlError as error:
        raise WrongChannel(f"MONITOR_EMAIL needs SMTP_URL: {error}") from None

    def send(message: Message) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Date"], mail["Message-ID"] = sender, ", ".join(to), formatdate(), make_msgid()
        mail["Subject"] = message.text.splitlines()[0]
        mail.set_content(f"{message.text}\n", cte="quoted-printable")
        asyncio.run(_handed_over(mailer, address, to, mail.as_bytes()))

    return send


async def _handed_over(mailer: SmtpMailer, sender: str, to: list[str], mail: bytes) -> None:
    """Raises NotDelivered when nobody got it: one wrong address must not repeat it to all others."""
    taken, wrong = 0, ""
    async with mailer.connection() as connection:
        for recipient in to:
            try:
                await connection.begin(sender, recipient)
                await connection.deliver(mail)
                taken += 1
            except MailError as error:
                wrong = type(error).__name__
                if isinstance(error, MailNotSent) and not error.connected:
                    break
    if not taken:
        raise NotDelivered(f"the mail server did not take it ({wrong})")
