"""The mails that were written to files because nobody is to be sent them, read again."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{12}\.eml")
MAX_SHOWN = 200
_SHOWN = ("Date", "From", "To", "Reply-To", "Subject", "Message-ID", "List-Id", "List-Unsubscribe", "DKIM-Signature")


@dataclass(frozen=True)
class Mail:
    name: str
    headers: list[tuple[str, str]]
    text: str
    html: str

    def header(self, name: str) -> str:
        return dict(self.headers).get(name, "")


def list_mails(folder: Path) -> Iterator[Mail]:
    """The latest first."""
    names = sorted((path.name for path in folder.glob("*.eml") if NAME.fullmatch(path.name)), reverse=True)
    for name in names[:MAX_SHOWN]:
        if (mail := read_mail(folder, name)) is not None:
            yield mail


def read_mail(folder: Path, name: str) -> Mail | None:
    """None for a name that is none of ours."""
    if not NAME.fullmatch(name) or not (folder / name).is_file():
        return None
    message = BytesParser(policy=policy.default).parsebytes((folder / name).read_bytes())
    headers = [(shown, str(message[shown])) for shown in _SHOWN if shown in message]
    return Mail(name, headers, _part(message, "plain"), _part(message, "html"))


def _part(message: EmailMessage, subtype: str) -> str:
    body = message.get_body((subtype,))
    return "" if body is None else str(body.get_content())
