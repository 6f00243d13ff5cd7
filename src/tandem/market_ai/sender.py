"""From the settings to what sends: who mails are from, how they are linked and signed, and who takes them."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tandem.core.development_database import data_dir
from tandem.core.errors import Unavailable
from tandem.core.mail import FolderMailer, Mailer, SmtpMailer, SmtpUrl
from tandem.market_ai.mail.dkim import Signer
from tandem.market_ai.mail.keys import rsa_key
from tandem.market_ai.mail.links import Links, link_secret
from tandem.market_ai.mail.mailbox import Mailbox
from tandem.market_ai.settings import MarketAiSettings


class MailNotConfigured(Unavailable):
    code, title = "mail_not_configured", "This service is not set up to send mail"


@dataclass(frozen=True)
class Sender:
    """One a process. `return_path` is where bounces of a mail go; `signer` is None without a DKIM key."""

    mailer: Mailer
    mailbox: Mailbox
    links: Links
    signer: Signer | None
    bounces: Mailbox
    postal_address: str
    tagged: bool

    def return_path(self, delivery_id: str) -> str:
        """The envelope sender: with MAIL_RETURN_PATH it names the delivery (VERP), so that a bounce does too."""
        local, _, domain = self.bounces.address.rpartition("@")
        return f"{local}+{delivery_id}@{domain}" if self.tagged else self.bounces.address


@lru_cache(maxsize=4)
def sender_of(settings: MarketAiSettings) -> Sender:
    """Raises MailNotConfigured, in production, when SMTP_URL or MAIL_FROM is missing."""
    if settings.deployed and (settings.smtp_url is None or settings.mail_from is None or settings.public_url is None):
        raise MailNotConfigured("The operator has to set SMTP_URL, MAIL_FROM and PUBLIC_URL first", retry_after=3600)
    mailbox = mailbox_of(settings)
    return_path = settings.mail_return_path
    return Sender(
        mailer_of(settings, mailbox.domain),
        mailbox,
        links_of(settings),
        signer_of(settings, mailbox.domain),
        Mailbox.parse(return_path) if return_path else mailbox,
        settings.mail_postal_address or "",
        tagged=return_path is not None,
    )


def mailbox_of(settings: MarketAiSettings) -> Mailbox:
    """Who mails are from."""
    return Mailbox.parse(settings.mail_from or "Market AI <news@localhost>")


def links_of(settings: MarketAiSettings) -> Links:
    secret = settings.link_secret or settings.session_hash_secret
    base = settings.public_url or f"http://127.0.0.1:{settings.port}"
    return Links(base, link_secret(secret.get_secret_value()))


def mailer_of(settings: MarketAiSettings, domain: str) -> Mailer:
    if settings.smtp_url is None:
        return FolderMailer(mail_folder())
    return SmtpMailer(SmtpUrl.parse(settings.smtp_url.get_secret_value()), domain)


def mail_folder() -> Path:
    """Where mails go that nobody is sent."""
    return data_dir().parent / "mail"


def signer_of(settings: MarketAiSettings, domain: str) -> Signer | None:
    if settings.dkim_private_key is None:
        return None
    key = rsa_key(settings.dkim_private_key.get_secret_value())
    return Signer(key, settings.dkim_selector, settings.dkim_domain or domain)
