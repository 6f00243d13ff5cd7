"""Signatures: the published values, and what the specification's own library says of ours."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from tandem.market_ai.webhooks import signing

PUBLISHED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_published_example_is_signed_as_published():
    """Of the specification's reference libraries, `sign function works`."""
    signed = signing.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [PUBLISHED])
    assert signed == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_secret_is_new_and_long_enough():
    secrets = {signing.new_secret() for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64


@given(body=st.text(), other=st.text())
def test_the_reference_library_accepts_every_body_and_no_other(body, other):
    old, new = signing.new_secret(), signing.new_secret()
    headers = signing.headers("msg_1", int(time.time()), body.encode("utf-8", "replace"), [new, old])
    sent = body.encode("utf-8", "replace")
    for secret in (old, new):
        Webhook(secret).verify(sent, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(sent, headers, json_parse=False)
    if other.encode("utf-8", "replace") != sent:
        with pytest.raises(WebhookVerificationError):
            Webhook(new).verify(other.encode("utf-8", "replace"), headers, json_parse=False)
