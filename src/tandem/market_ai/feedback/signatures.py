"""Whether a webhook comes from who it says: each provider's own scheme, over the bytes as they were received."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from tandem.core.errors import Forbidden, NotFound
from tandem.market_ai.mail.keys import public_key
from tandem.market_ai.settings import MarketAiSettings

TOLERANCE = 300.0  # seconds that a request of ours may be old, as https://www.standardwebhooks.com asks
# Mailgun and SendGrid sign when they first try, and go on trying for hours; a repetition changes nothing here.
PROVIDERS_TOLERANCE = 86_400.0


class SignatureInvalid(Forbidden):
    code, title = "signature_invalid", "The signature of this webhook is missing, wrong or too old"


def standard(settings: MarketAiSettings, headers: Mapping[str, str], body: bytes) -> None:
    """Standard Webhooks: `webhook-signature: v1,<base64 HMAC-SHA256 of id.timestamp.body>`. Raises SignatureInvalid."""
    if settings.mail_webhook_secret is None:
        raise _off("MAIL_WEBHOOK_SECRET")
    stamp = headers.get("webhook-timestamp", "")
    _require_recent(stamp, TOLERANCE)
    signed = b".".join([headers.get("webhook-id", "").encode("latin-1"), stamp.encode("latin-1"), body])
    wanted = hmac.new(webhook_key(settings.mail_webhook_secret.get_secret_value()), signed, hashlib.sha256).digest()
    for one in headers.get("webhook-signature", "").split():
        version, _, value = one.partition(",")
        if version == "v1" and hmac.compare_digest(_decoded(value), wanted):
            return
    raise SignatureInvalid()


def webhook_key(secret: str) -> bytes:
    """`whsec_` and base64, or any other text as it is."""
    if secret.startswith("whsec_"):
        return _decoded(secret.removeprefix("whsec_"))
    return secret.encode()


def sendgrid(settings: MarketAiSettings, headers: Mapping[str, str], body: bytes) -> None:
    """ECDSA over timestamp and body: Twilio SendGrid's Signed Event Webhook. Raises SignatureInvalid.

    https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    if settings.sendgrid_webhook_key is None:
        raise _off("SENDGRID_WEBHOOK_KEY")
    stamp = headers.get("x-twilio-email-event-webhook-timestamp", "")
    _require_recent(stamp, PROVIDERS_TOLERANCE)
    signature = _decoded(headers.get("x-twilio-email-event-webhook-signature", ""))
    try:
        public_key(settings.sendgrid_webhook_key).verify(signature, stamp.encode("latin-1") + body, ECDSA(SHA256()))
    except InvalidSignature:
        raise SignatureInvalid() from None


def mailgun(settings: MarketAiSettings, _: Mapping[str, str], body: bytes) -> None:
    """HMAC-SHA256 over timestamp and token, inside the body. Raises SignatureInvalid.

    It does not cover the event itself, so that only TLS keeps it from being changed; that is how Mailgun does it.
    https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
    """
    if settings.mailgun_webhook_key is None:
        raise _off("MAILGUN_WEBHOOK_KEY")
    signature = _signature(body)
    stamp, token, given = (str(signature.get(name, "")) for name in ("timestamp", "token", "signature"))
    _require_recent(stamp, PROVIDERS_TOLERANCE)
    key = settings.mailgun_webhook_key.get_secret_value().encode()
    wanted = hmac.new(key, (stamp + token).encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode()):
        raise SignatureInvalid()


def _signature(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)["signature"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise SignatureInvalid() from None
    return found if isinstance(found, dict) else {}


def _require_recent(stamp: str, tolerance: float) -> None:
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12 or abs(time.time() - int(stamp)) > tolerance:
        raise SignatureInvalid()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""


def _off(setting: str) -> NotFound:
    return NotFound(f"Nothing is accepted here: the operator has not set {setting}")
