"""Where alerts go: Slack, any webhook, e-mail. Each raises NotDelivered, in words that hold no secret."""

import smtplib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import httpx2

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
    """By SMTP_URL, as Market AI's: `smtp://user:password@host:587` or `smtps://…`, `?starttls=always|never`."""
    where = urlsplit(environment.get("SMTP_URL", ""))
    if where.scheme not in {"smtp", "smtps"} or not where.hostname:
        raise WrongChannel("MONITOR_EMAIL needs SMTP_URL: smtp://user:password@host:587 or smtps://user:password@host")
    sender = environment.get("MONITOR_EMAIL_FROM") or to[0]

    def send(message: Message) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Date"], mail["Message-ID"] = sender, ", ".join(to), formatdate(), make_msgid()
        mail["Subject"] = message.text.splitlines()[0]
        mail.set_content(f"{message.text}\n")
        try:
            with _connection(where) as smtp:
                smtp.send_message(mail)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise NotDelivered(f"the mail server did not take it ({type(error).__name__})") from None

    return send


def _connection(where: SplitResult) -> smtplib.SMTP:
    """Connected and logged in. A password never travels in the clear, unless `starttls=never` says so."""
    host, user = str(where.hostname), unquote(where.username or "")
    context = ssl.create_default_context()
    if where.scheme == "smtps":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(host, where.port or 465, timeout=TIMEOUT, context=context)
    else:
        smtp = smtplib.SMTP(host, where.port or (587 if user else 25), timeout=TIMEOUT)
    try:
        starttls = parse_qs(where.query).get("starttls", [""])[0]
        smtp.ehlo()
        if (
            where.scheme == "smtp"
            and starttls != "never"
            and (user or starttls == "always" or smtp.has_extn("starttls"))
        ):
            smtp.starttls(context=context)
        if user:
            smtp.login(user, unquote(where.password or ""))
    except BaseException:
        smtp.close()
        raise
    return smtp
