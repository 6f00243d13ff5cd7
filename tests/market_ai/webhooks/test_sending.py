"""One attempt, against servers on the loopback that do what the internet does."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import AnyHttpUrl, ValidationError

from tandem.market_ai.webhooks import sending
from tandem.market_ai.webhooks.schemas import WebhookCreate
from tandem.market_ai.webhooks.sending import post
from tests.market_ai.webhooks.receiving import a_receiver, answer
from tests.servers import free_port

LOOPBACK = (ip_network("127.0.0.0/8"),)
BODY = b'{"type":"campaign.paused"}'


async def attempt(url, networks=LOOPBACK):
    return await post(url, BODY, {"webhook-id": "msg_1"}, networks)


async def test_the_receiver_gets_the_very_bytes_and_the_headers(receiver):
    outcome = await attempt(receiver.url)
    assert (outcome.status, outcome.error, outcome.excerpt) == (204, None, "")
    [got] = receiver.received
    assert (got.target, got.body) == ("/hooks?from=tandem", BODY)
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["webhook-id"] == "msg_1"
    assert "cookie" not in got.headers
    assert "authorization" not in got.headers


@pytest.mark.parametrize("status", [200, 201, 202, 299])
async def test_any_2xx_is_success(receiver, status):
    receiver.answers = [answer(status, b"thanks")]
    outcome = await attempt(receiver.url)
    assert (outcome.status, outcome.error, outcome.excerpt) == (status, None, "thanks")


@pytest.mark.parametrize(
    ("status", "error"), [(400, "http_error"), (410, "http_error"), (500, "http_error"), (304, "redirect")]
)
async def test_anything_else_is_failure(receiver, status, error):
    receiver.answers = [answer(status, b"no")]
    assert (await attempt(receiver.url)).error == error


async def test_a_redirect_is_not_followed(receiver):
    receiver.answers = [answer(302, Location=f"http://127.0.0.1:{receiver.port}/secret")]
    outcome = await attempt(receiver.url)
    assert (outcome.status, outcome.error) == (302, "redirect")
    assert len(receiver.received) == 1


async def test_a_large_answer_is_read_no_further_than_it_is_kept(receiver):
    sent = 0

    async def forever(writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    receiver.answers = [forever]
    outcome = await attempt(receiver.url)
    assert (outcome.error, outcome.excerpt) == (None, "x" * sending.EXCERPT)
    assert sent < 50_000_000


async def test_what_is_kept_of_an_answer_is_text_that_can_be_stored(receiver):
    receiver.answers = [answer(500, b"a\0b\x1b[31m\xff\n\tc")]
    assert (await attempt(receiver.url)).excerpt == "a\ufffdb\ufffd[31m\ufffd\n\tc"


async def test_a_body_that_never_comes_does_not_undo_success(receiver, monkeypatch):
    async def promise(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await writer.drain()
        await asyncio.sleep(60)

    monkeypatch.setattr(sending, "BODY", 0.2)
    receiver.answers = [promise]
    outcome = await attempt(receiver.url)
    assert (outcome.status, outcome.error, outcome.excerpt) == (200, None, "abc")


async def test_the_time_limit_is_about_the_status_and_not_about_the_body(receiver, monkeypatch):
    async def late(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(2.5)
        writer.write(b"ok")

    monkeypatch.setattr(sending, "TIMEOUT", 2)
    monkeypatch.setattr(sending, "BODY", 20)
    receiver.answers = [late]
    outcome = await attempt(receiver.url)
    assert (outcome.status, outcome.error, outcome.excerpt) == (200, None, "ok")


async def test_silence_is_a_timeout(receiver, monkeypatch):
    async def silence(_writer):
        await asyncio.sleep(60)

    async def drip(writer):
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    monkeypatch.setattr(sending, "TIMEOUT", 0.3)
    receiver.answers = [silence, drip]
    for _ in range(2):
        outcome = await attempt(receiver.url)
        assert (outcome.status, outcome.error) == (None, "timeout")
        assert outcome.duration_ms >= 290


@pytest.mark.parametrize(
    "garbage",
    [b"", b"SMTP 220 ready\r\n\r\n", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, b"\x16\x03\x01\0"],
)
async def test_what_is_no_http_is_an_invalid_response(receiver, garbage):
    receiver.answers = [garbage]
    outcome = await attempt(receiver.url)
    assert (outcome.status, outcome.error) == (None, "invalid_response")


async def test_nobody_listening_is_a_failed_connection():
    assert (await attempt(f"http://127.0.0.1:{free_port()}/")).error == "connection_failed"


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://169.254.169.254/latest/meta-data/", "https://[::1]/", "https://10.0.0.1:8443/",
        "https://[::ffff:127.0.0.1]/", "http://1.1.1.1/", "https://1.1.1.1:22/", "https://0.0.0.0/", "https://[fe80::1]/",
    ],
)  # fmt: skip
async def test_addresses_that_are_not_public_are_not_called(url):
    """The test process would refuse to connect to them, and say so in another way."""
    assert (await attempt(url, ())).error == "no_public_address"


async def test_the_receivers_network_is_refused_unless_it_is_allowed(receiver):
    assert (await attempt(receiver.url, ())).error == "no_public_address"
    assert (await attempt(receiver.url, (ip_network("10.0.0.0/8"),))).error == "no_public_address"
    assert receiver.received == []


async def test_a_name_is_asked_for_once_and_its_answer_is_where_the_connection_goes(receiver, answering):
    """Whoever answers otherwise at the second question (DNS rebinding) is not asked one."""
    asked = answering({"hooks.example.com": [["127.0.0.1"], ["169.254.169.254"]]})
    outcome = await attempt(f"http://hooks.example.com:{receiver.port}/x")
    assert outcome.error is None
    assert asked == ["hooks.example.com"]
    assert receiver.received[0].headers["host"] == f"hooks.example.com:{receiver.port}"


async def test_the_next_address_is_tried_when_one_does_not_answer(receiver, answering):
    answering({"hooks.example.com": [["127.0.0.2", "127.0.0.1"]]})
    assert (await attempt(f"http://hooks.example.com:{receiver.port}/")).error is None
    assert len(receiver.received) == 1


async def test_ipv6_is_spoken_where_there_is_some(answering):
    """In an address in brackets, and behind a name; a machine without IPv6 says that it cannot connect."""
    networks = (*LOOPBACK, ip_network("::1/128"))
    answering({"hooks.example.com": [["::1"]]})
    try:
        async with a_receiver(host="::1") as receiver:
            for host in ("[::1]", "hooks.example.com"):
                assert (await attempt(f"http://{host}:{receiver.port}/", networks)).error is None
                assert receiver.received[-1].headers["host"] == f"{host}:{receiver.port}"
    except OSError:
        assert (await attempt("http://[::1]:9/", networks)).error == "connection_failed"


async def test_the_environments_proxy_is_not_used(receiver, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert (await attempt(receiver.url)).error is None


async def test_a_certificate_must_be_for_the_name(tls, answering):
    server, trusted = tls
    answering({"hooks.example.com": [["127.0.0.1"]], "other.example.com": [["127.0.0.1"]]})
    async with a_receiver(server) as receiver:
        trusted()
        good = await attempt(f"https://hooks.example.com:{receiver.port}/")
        other = await attempt(f"https://other.example.com:{receiver.port}/")
        nameless = await attempt(f"https://127.0.0.1:{receiver.port}/")
        assert (good.error, other.error, nameless.error) == (None, "tls_failed", "tls_failed")
        assert [one.headers["host"] for one in receiver.received] == [f"hooks.example.com:{receiver.port}"]


async def test_a_certificate_must_be_trusted(tls, answering):
    server, _ = tls
    answering({"hooks.example.com": [["127.0.0.1"]]})
    async with a_receiver(server) as receiver:
        assert (await attempt(f"https://hooks.example.com:{receiver.port}/")).error == "tls_failed"
        assert (await attempt(f"https://hooks.example.com:{receiver.port}/", LOOPBACK)).status is None


PARTS = st.text("abcz019.-_%:@[]/\\?#ü。①x ", max_size=12)


@example(r"https://good.example\@evil.example/")
@example("https://a..b/")
@example("https://[::ffff:127.0.0.1]:8443/")
@given(st.builds("{}://{}{}".format, st.sampled_from(["http", "https", "HTTPS"]), PARTS, PARTS))
def test_both_readers_of_an_address_see_the_same_host_in_it(url):
    """Pydantic reads what a user sets, the HTTP client what is called: else one would check what the other does not call."""
    try:
        kept = WebhookCreate(url=url).url
    except ValidationError:
        return
    ours, theirs = AnyHttpUrl(kept), httpx2.URL(kept)
    assert (ours.scheme, ours.port) == (theirs.scheme, theirs.port or {"http": 80, "https": 443}[theirs.scheme])
    assert ours.host.strip("[]") == theirs.raw_host.decode().strip("[]")
    assert not theirs.userinfo
    assert WebhookCreate(url=kept).url == kept


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("999999999", 6 * 3600),
        ("9" * 400, 6 * 3600),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("1.5", None),
        ("١٢", None),
    ],
)
async def test_retry_after_in_seconds(receiver, said, seconds):
    receiver.answers = [answer(429).replace(b"\r\n\r\n", b"\r\nRetry-After: " + said.encode() + b"\r\n\r\n")]
    wait = (await attempt(receiver.url)).retry_after
    assert wait == (None if seconds is None else timedelta(seconds=seconds))


async def test_retry_after_as_a_date(receiver):
    later = datetime.now(UTC) + timedelta(minutes=10)
    past = format_datetime(later - timedelta(days=1), usegmt=True)
    receiver.answers = [answer(503, Retry_After=format_datetime(later, usegmt=True)), answer(503, Retry_After=past)]
    wait = (await attempt(receiver.url)).retry_after
    assert timedelta(minutes=9) < wait <= timedelta(minutes=10)
    assert (await attempt(receiver.url)).retry_after == timedelta(0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of hooks.example.com, signed by itself: the path of a PEM file with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hooks.example.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example.com")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate, monkeypatch):
    """The server's side, and a call after which our side trusts it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)

    def trusted():
        ours = ssl.create_default_context(cafile=certificate)
        monkeypatch.setattr(sending, "tls", lambda: ours)

    return server, trusted
