"""Valid requests for what sends mail, and hears of it."""

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from tandem.core.ids import uuid7
from tandem.market_ai.mail.links import Links, Purpose, link_secret
from tests.builders import SECRET
from tests.conformance.operations import Operation, Sent

if TYPE_CHECKING:
    from tests.conformance.market_owned import MarketOwned

HTML = '<h1>{{ content.headline }}</h1>{{ content.body }}<a href="{{ unsubscribe_url }}">Unsubscribe</a>'
_OURS, _MAILGUN = "whsec_" + base64.b64encode(b"k" * 32).decode(), "mailgun-key"
_SENDGRID = ec.derive_private_key(17, ec.SECP256R1())
_PUBLIC = _SENDGRID.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
SETTINGS: dict[str, Any] = {
    "mail_webhook_secret": SecretStr(_OURS),
    "mailgun_webhook_key": SecretStr(_MAILGUN),
    "sendgrid_webhook_key": base64.b64encode(_PUBLIC).decode(),
}
LINKS = Links("http://127.0.0.1:8001", link_secret(SECRET))


def token_for(operation: Operation, delivery: str) -> str:
    purposes: dict[str, Purpose] = {"/u/": "u", "/o/": "o", "/c/": "c"}
    purpose = purposes.get(operation.path[:3])
    return "" if purpose is None else LINKS.token(purpose, UUID(delivery), 1 if purpose == "c" else 0)


def requests_for(mine: "MarketOwned") -> dict[str, list[Sent]]:
    mail = {"content_id": mine.letter, "template_id": mine.template, "from_name": "Ada", "reply_to": "ada@example.com"}
    when = {
        "schedule": {"at": "2027-06-01T09:00", "timezone": "Europe/Berlin"},
        "track_opens": True,
        "track_clicks": True,
    }
    name = f"Newsletter {uuid7()}"
    return {
        "GET /api/templates": [Sent({"q": "ordinary"})],
        "POST /api/templates": [Sent(body={"name": name, "html": HTML})],
        "PATCH /api/templates/{template_id}": [Sent(body={"name": name, "html": HTML})],
        "POST /api/campaigns/{campaign_id}/send": [
            Sent(body={**mail, **when, "filter": 'email contains "example"'}),
            Sent(body={**mail, "segment_id": mine.audience}),
        ],
        "POST /api/campaigns/{campaign_id}/send/preview": [Sent(body={**mail, "lead_id": mine.reader})],
        "POST /api/campaigns/{campaign_id}/send/test": [
            Sent(body={**mail, "lead_id": mine.reader, "to": ["ada@example.com"]})
        ],
        "GET /api/sends": [Sent({"campaign_id": mine.mailing, "status": "sending"})],
        "GET /api/deliveries": [
            Sent({"send_id": mine.send, "campaign_id": mine.mailing}),
            Sent({"lead_id": mine.reader}),
        ],
        "POST /api/deliveries/{delivery_id}/resolve": [
            Sent(body={"outcome": "accepted", "note": "seen in the log"}),
            Sent(body={"outcome": "send_again"}),
        ],
        "POST /api/mail/events": [ours(mine.delivery)],
        "POST /api/mail/events/sendgrid": [sendgrid(mine.delivery)],
        "POST /api/mail/events/mailgun": [mailgun(mine.delivery)],
    }


def message_id(delivery: str) -> str:
    return f"<{delivery}.mail@localhost>"


def ours(delivery: str, **event: Any) -> Sent:
    body = {"events": [{"id": str(uuid7()), "type": "delivered", "message_id": message_id(delivery), **event}]}
    stamp = str(int(time.time()))
    signed = f"msg_1.{stamp}.{json.dumps(body)}".encode()
    signature = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}
    return Sent(body=body, header=headers)


def sendgrid(delivery: str, **event: Any) -> Sent:
    given = {"event": "delivered", "smtp-id": message_id(delivery), "sg_event_id": str(uuid7()), **event}
    body, stamp = [given], str(int(time.time()))
    signature = _SENDGRID.sign(stamp.encode() + json.dumps(body).encode(), ec.ECDSA(SHA256()))
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
    }
    return Sent(body=body, header=headers)


def mailgun(delivery: str, **event: Any) -> Sent:
    stamp, token = str(int(time.time())), uuid7().hex
    signature = hmac.new(_MAILGUN.encode(), (stamp + token).encode(), hashlib.sha256).hexdigest()
    headers = {"message-id": message_id(delivery)[1:-1]}
    data = {"event": "delivered", "id": str(uuid7()), "message": {"headers": headers}, **event}
    return Sent(body={"signature": {"timestamp": stamp, "token": token, "signature": signature}, "event-data": data})
