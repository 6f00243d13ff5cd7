"""Mails as they are written: the language, what it refuses, and what no value can do to a message."""

from email import message_from_bytes, policy
from typing import Any
from uuid import uuid4

import dkim  # type: ignore[import-untyped]
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.market_ai.mail.dkim import Signer
from tandem.market_ai.mail.keys import rsa_key
from tandem.market_ai.mail.language import MergeFault, TemplateFault, check, required
from tandem.market_ai.mail.mailbox import Mailbox
from tandem.market_ai.mail.message import Envelope, build, delivery_of, message_id
from tandem.market_ai.mail.plain_text import plain_text
from tandem.market_ai.mail.writing import Copy, Frame, NoUnsubscribeLink, Writer, Written, check_layout

UNSUBSCRIBE = "https://api.bakery.test/u/" + "x" * 46
FRAME = Frame("Christmas", "Ada's Bakery", "news@bakery.test", "1 Baker Street", UNSUBSCRIBE)
LEAD = {"email": "bob@a.test", "name": "Bob", "tags": ["vip"], "attributes": {"city": "Ulm", "n": 3, "empty": ""}}


def write(lead: dict[str, Any] | None = None, **texts: str) -> Written:
    empty = {
        "subject": "Hello",
        "preheader": "",
        "headline": "",
        "body": "x",
        "call_to_action": "",
        "url": "",
        "layout": "",
    }
    return Writer(Copy(**empty | texts)).write(LEAD if lead is None else lead, FRAME)


def test_a_mail_has_html_and_the_same_as_text() -> None:
    written = write(
        subject="For {{ lead.name }}", headline="Stollen & more", preheader="Hidden",
        body="Dear **{{ lead.name }}** of {{ lead.attributes.city }},\n\n- one\n- two\n\n[Shop](https://shop.test/?a=1&b=2)",
        call_to_action="Reserve", url="https://shop.test/{{ lead.email | urlencode }}",
    )  # fmt: skip
    assert written.subject == "For Bob"
    assert "<strong>Bob</strong>" in written.html
    assert 'href="https://shop.test/bob%40a.test"' in written.html
    assert written.text.split("\n\n")[:4] == [
        "Stollen & more",
        "Dear Bob of Ulm,",
        "- one\n- two",
        "Shop (https://shop.test/?a=1&b=2)",
    ]
    assert f"Unsubscribe ({UNSUBSCRIBE})" in written.text
    assert "Hidden" not in written.text
    assert "1 Baker Street" in written.text


@pytest.mark.parametrize(
    "source",
    ["{{ lead.surname }}", "{{ lead.attributes.zip }}", "{{ lead.attributes.empty }}", "{{ lead.attributes.a.b }}",
     "{{ lead.tags }}", "{{ lead }}", "{{ none }}" , "{{ lead.attributes }}", "{{ lead['__class__'] }}",
     "{{ lead.items }}", "{{ lead.name.upper }}", "{{ lead.attributes.n | upper | first | last | join }}{{ lead.x }}"],
)  # fmt: skip
def test_what_is_missing_or_no_text_is_an_error_and_never_printed(source: str) -> None:
    for field in ("subject", "body", "headline", "preheader"):
        with pytest.raises((MergeFault, TemplateFault)):
            write(**{field: source})


@pytest.mark.parametrize(
    "source",
    ["{{ 2 ** 100 }}", "{{ 'a' * 9 }}", "{{ lead.name() }}", "{{ range(9) }}", "{% set a = 1 %}", "{% include 'x' %}",
     "{% import 'x' as y %}", "{% macro a() %}{% endmacro %}", "{{ lead | attr('x') }}", "{{ ''.__class__ }}{{ x }}",
     "{% for a in lead.tags %}{% for b in lead.tags %}{% endfor %}{% endfor %}", "{{ [1] | map('x') }}", "{{ a ~ b }}",
     "{% for lead in lead.tags %}{% endfor %}", "{{ lead.name[1:2] }}", "{{", "{% if %}", "{{ {'a': 1} }}",
     "{{ self }}", "{{ cycler }}", "{{ lead.name | center(999999999) }}", "{{ lead is sameas lead }}"],
)  # fmt: skip
def test_what_a_mail_has_no_use_for_is_no_part_of_the_language(source: str) -> None:
    with pytest.raises(TemplateFault):
        check(source)


@settings(derandomize=True, max_examples=200, deadline=None, database=None)
@given(st.text(alphabet="{}%|.'\"()[]~*+-abcleadnmit \n0_", max_size=60))
def test_a_template_is_either_refused_or_rendered_or_lacks_something(source: str) -> None:
    try:
        write(body=source)
    except (TemplateFault, MergeFault, NoUnsubscribeLink):
        return


@settings(derandomize=True, max_examples=150, deadline=None, database=None)
@given(st.text(max_size=60))
def test_no_value_of_a_lead_can_mark_itself_up(value: str) -> None:
    lead = LEAD | {"name": "-" + value, "attributes": {"v": "<b>" + value}}
    written = write(
        lead,
        subject="{{ lead.name }}",
        headline="{{ lead.name }}",
        body="Dear {{ lead.name }} {{ lead.attributes.v }} end.",
    )
    body = written.html.partition('<div style="max-width')[2].partition("<hr")[0]
    assert (body.count("<"), body.count(">")) == (4, 5), body  # <h1></h1> <p></p>, and the div's own end
    assert "\n" not in written.subject
    assert "\r" not in written.subject
    raw = build(envelope(), written)
    parsed = message_from_bytes(raw, policy=policy.default)
    assert [name for name in parsed.keys() if name in {"Bcc", "Cc"}] == []  # noqa: SIM118
    assert len(parsed.get_all("Subject")) == 1


def test_which_fields_a_mail_needs_is_known_before_it_is_sent() -> None:
    source = (
        "{{ lead.name }} {{ lead.attributes['city'] | upper }} {{ lead.locale | default('en') }}"
        "{% if lead.attributes.vip %}{{ lead.attributes.code }}{% endif %}{{ 'a' if lead.timezone else 'b' }}"
    )
    assert required(source) == {("name",), ("attributes", "city")}


@pytest.mark.parametrize(
    "html",
    ["<p>{{ content.body }}</p>", '<a href="{{ unsubscribe_url }}"></a>', "{{ unsubscribe_url }}",
     '<div style="display: none"><a href="{{ unsubscribe_url }}">Unsubscribe</a></div>',
     '<a href="{{ unsubscribe_url }}" style="font-size:0">Unsubscribe</a>', '<!-- <a href="{{ unsubscribe_url }}">x</a> -->',
     '<a href="https://elsewhere.test/?{{ unsubscribe_url }}">Unsubscribe</a>',
     '{% if lead.name is undefined %}<a href="{{ unsubscribe_url }}">Unsubscribe</a>{% endif %}'],
)  # fmt: skip
def test_a_layout_without_a_visible_way_out_is_refused(html: str) -> None:
    with pytest.raises(NoUnsubscribeLink):
        check_layout(html)


def test_links_in_markdown_lead_to_the_web_only() -> None:
    html = write(
        body="[a](javascript:alert(1)) [b](data:text/html,x) ![c](https://x.test/pixel) [d](mailto:a@b.test)"
    ).html
    assert "javascript:" not in html.replace("(javascript:", "")
    assert 'href="data:' not in html
    assert "<img" not in html
    assert 'href="mailto:a@b.test"' in html


def envelope(**values: Any) -> Envelope:
    given = {
        "delivery_id": uuid4(), "sender": Mailbox("Ada's \"Best\" Bäckerei, Inc.", "news@bakery.test"),
        "recipient": "bob@a.test", "reply_to": "ada@bakery.test", "list_id": "c1", "unsubscribe_url": UNSUBSCRIBE,
    }  # fmt: skip
    return Envelope(**given | values)


def test_the_headers_are_what_servers_look_for_and_survive_any_length() -> None:
    long = "https://" + "a" * 200 + ".test/u/" + "x" * 46
    told = envelope(unsubscribe_url=long)
    message = message_from_bytes(build(told, write(subject="Für alle: " + "ß" * 200)), policy=policy.default)
    assert message["List-Unsubscribe"] == f"<{long}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-Id"] == "<c1.bakery.test>"
    assert message["From"].addresses[0].display_name == 'Ada\'s "Best" Bäckerei, Inc.'
    assert message["Subject"] == "Für alle: " + "ß" * 200
    assert message["Message-ID"] == message_id(told.delivery_id, "bakery.test")
    assert delivery_of(message["Message-ID"]) == told.delivery_id
    assert message.get_content_type() == "multipart/alternative"
    assert all(len(line) <= 998 for line in build(told, write()).split(b"\r\n"))


@pytest.mark.parametrize("field", ["recipient", "reply_to", "unsubscribe_url"])
@pytest.mark.parametrize("value", ["a@b.test\r\nBcc: eve@a.test", "a@b.test\nX: y", "ä@b.test", "a\x00@b.test"])
def test_a_header_cannot_be_injected(field: str, value: str) -> None:
    with pytest.raises(ValueError, match="must be printable ASCII"):
        build(envelope(**{field: value}), write())


def test_a_subject_or_name_with_a_line_break_is_refused_by_the_message_itself() -> None:
    with pytest.raises(ValueError, match=r"Header|newline|line"):
        build(envelope(), Written("a\r\nBcc: eve@a.test", "<p>", "x"))
    with pytest.raises(ValueError, match=r".+"):
        build(envelope(sender=Mailbox("Eve\r\nBcc: x@y.test", "a@b.test")), write())


def test_a_signature_holds_and_covers_both_unsubscribe_headers() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signer = Signer(rsa_key(pem.replace("\n", "\\n")), "s1", "bakery.test")
    signed = signer.signed(build(envelope(), write(body="Grüße, {{ lead.name }}")))

    def look_up(name: bytes, timeout: float = 5) -> bytes:
        import base64

        assert name == b"s1._domainkey.bakery.test."
        return b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)

    assert dkim.verify(signed, dnsfunc=look_up)
    covered = message_from_bytes(signed)["DKIM-Signature"].replace("\r\n", "").replace(" ", "").partition("h=")[2]
    names = covered.partition(";")[0].split(":")
    assert {"list-unsubscribe", "list-unsubscribe-post", "from", "subject"} <= set(names)
    assert not dkim.verify(signed.replace(b"List-Unsubscribe-Post: L", b"List-Unsubscribe-Post: l"), dnsfunc=look_up)
    assert not dkim.verify(signed.replace(b"\r\nFrom:", b"\r\nFrom: eve@a.test\r\nFrom:", 1), dnsfunc=look_up)


def test_text_is_read_from_html_that_is_not_well_formed() -> None:
    assert plain_text("<p>a<p>b</div><table><tr><td>c<td>d</table>") == "a\n\nb\n\nc\nd\n"
    assert plain_text("<style>x</style><script>y</script>z<br>w") == "z\nw\n"
