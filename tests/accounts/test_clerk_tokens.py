"""Which of Clerk's tokens are believed, and whom they speak for."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jwt
import pytest
import time_machine
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem.accounts.clerk.domain import ClerkDomainError, issuer_of
from tandem.accounts.clerk.verify import MAX_TOKEN, Clerk
from tandem.accounts.principal import Principal
from tandem.core.errors import Unauthorized
from tests.clerk_server import ORIGIN, ClerkServer, jwk, rsa_key


@pytest.fixture(scope="module")
def server() -> Iterator[ClerkServer]:
    with ClerkServer() as server:
        yield server


@pytest.fixture
async def clerk(server: ClerkServer) -> AsyncIterator[Clerk]:
    async with Clerk(server.domain, [f"{ORIGIN}/", "https://two.example.test"], deployed=False) as clerk:
        await clerk.verify(server.token())
        yield clerk


async def refusal(clerk, token):
    with pytest.raises(Unauthorized) as caught:
        await clerk.verify(token)
    assert caught.value.headers["WWW-Authenticate"] == "Bearer"
    return caught.value.detail


def encoded(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(server: ClerkServer, payload: bytes) -> str:
    return jwt.PyJWS().encode(payload, server.keys[server.kid], "RS256", {"kid": server.kid})


async def test_without_an_organisation_one_is_alone_and_admin(server, clerk):
    assert await clerk.verify(server.token("user_ada", sid="sess_1")) == Principal(
        user_id="user_ada", via="clerk", actor="clerk:sess_1", org_id=None, role="admin", scopes=frozenset({"*"})
    )


@pytest.mark.parametrize(
    ("given_role", "role"),
    [("admin", "admin"), ("manager", "manager"), ("member", "member"), ("viewer", "viewer"), ("basic_member", "member"),
     ("org:admin", "admin"), ("org:manager", "manager"), ("org:member", "member"), ("org:viewer", "viewer"),
     ("org:billing", "viewer"), ("owner", "viewer"), ("ADMIN", "viewer"), ("org:org:admin", "viewer"), ("", "viewer"),
     (None, "viewer"), (7, "viewer"), (["admin"], "viewer")],
)  # fmt: skip
async def test_the_role_in_the_organisation_is_ours_or_the_least(server, clerk, given_role, role):
    second = await clerk.verify(server.token(org="org_acme", role=given_role))
    first = await clerk.verify(
        server.token(v=None, org_id="org_acme", org_role=given_role, org_permissions=["org:x:y"])
    )
    assert (second.org_id, second.role) == (first.org_id, first.role) == ("org_acme", role)


async def test_each_version_has_its_own_claims(server, clerk):
    first = await clerk.verify(
        server.token(v=1, org_id="org_one", org_role="org:member", o={"id": "org_2", "rol": "admin"})
    )
    second = await clerk.verify(server.token(org="org_two", role="member", org_id="org_1", org_role="org:admin"))
    assert [(p.org_id, p.role) for p in (first, second)] == [("org_one", "member"), ("org_two", "member")]
    assert (await clerk.verify(server.token(v=1, org_id=None))).org_id is None


async def test_an_impersonator_is_named_beside_the_session(server, clerk):
    act = {"iss": "https://dashboard.clerk.com", "sid": "sess_9", "sub": "user_support"}
    principal = await clerk.verify(server.token("user_ada", sid="sess_1", act=act))
    assert (principal.user_id, principal.actor) == ("user_ada", "clerk:sess_1 by user_support")
    for odd in ("user_support", [], {}, {"sub": 7}, {"sub": ""}, {"sub": "a b"}, {"sub": "x" * 129}):
        assert "not a Clerk session token" in await refusal(clerk, server.token(act=odd)), odd


async def test_a_token_made_for_one_of_our_origins_or_for_none_is_accepted(server, clerk):
    for azp in (ORIGIN, "https://two.example.test", None):
        assert (await clerk.verify(server.token(azp=azp))).user_id == "user_ada"
    for azp in ("https://evil.test", "", f"{ORIGIN}.evil.test", f"{ORIGIN}/", [ORIGIN], {ORIGIN: 1}, 7):
        assert "CORS_ORIGINS" in await refusal(clerk, server.token(azp=azp)), azp


async def test_a_pending_session_is_refused(server, clerk):
    for sts in ("pending", "abandoned", "", 1, ["active"]):
        assert "pending tasks" in await refusal(clerk, server.token(sts=sts)), sts
    assert (await clerk.verify(server.token(sts=None))).user_id == "user_ada"


async def test_a_token_lives_between_its_times_give_or_take_five_seconds(server, clerk):
    with time_machine.travel(1_800_000_000, tick=False):
        now = int(time.time())
        for claims in ({"exp": now - 4}, {"nbf": now + 5}, {"iat": now + 5}, {"exp": now + 0.5}):
            await clerk.verify(server.token(**claims))
        assert "has expired" in await refusal(clerk, server.token(exp=now - 5))
        assert "not valid yet" in await refusal(clerk, server.token(nbf=now + 6))
        assert "not valid yet" in await refusal(clerk, server.token(iat=now + 6))
        for odd in ("soon", [], {}, float("nan"), float("inf"), "9" * 5000):
            for claim in ("exp", "nbf", "iat"):
                assert "not a Clerk session token" in await refusal(clerk, server.token(**{claim: odd})), (claim, odd)


@pytest.mark.parametrize("claim", ["iss", "exp", "nbf", "iat", "sub", "sid"])
async def test_a_claim_that_every_session_token_has_is_required(server, clerk, claim):
    assert "not a Clerk session token" in await refusal(clerk, server.token(**{claim: None}))


@pytest.mark.parametrize("claim", ["sub", "sid", "org"])
async def test_an_id_is_a_short_word_without_a_colon(server, clerk, claim):
    for odd in ("", "user:ada", "a b", "x" * 129, "ä", "a\n", "a\x00", 7, True, ["user_ada"], {}):
        claims = {"o": {"id": odd, "rol": "admin"}} if claim == "org" else {claim: odd}
        assert "not a Clerk session token" in await refusal(clerk, server.token(**claims)), odd


async def test_an_organisation_claim_that_is_none_is_refused(server, clerk):
    for odd in ([], {}, "org_acme", 7, {"rol": "admin"}, {"id": None}):
        assert "not a Clerk session token" in await refusal(clerk, server.token(o=odd)), odd
    for version in (0, 3, "2", [2]):
        assert "version" in await refusal(clerk, server.token(v=version)), version


async def test_a_foreign_issuer_is_refused_even_with_the_right_key(server, clerk):
    for iss in ("https://clerk.elsewhere.test", server.domain + "/", server.domain + ".evil.test", ""):
        assert "another Clerk instance" in await refusal(clerk, server.token(iss=iss)), iss
    for iss in ([server.domain], 7, {server.domain: 1}, None):  # PyJWT itself makes no such token
        payload = jwt.decode(server.token(), options={"verify_signature": False}) | {"iss": iss}
        assert await refusal(clerk, signed(server, json.dumps(payload).encode())), iss


async def test_a_signature_by_another_key_is_refused(server, clerk):
    assert "signature is wrong" in await refusal(clerk, server.token(key=rsa_key("eve")))
    assert "does not publish" in await refusal(clerk, server.token(key=rsa_key("eve"), header={"kid": "ins_eve"}))
    brought = {"jwk": jwk("ins_1", rsa_key("eve")), "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/keys"}
    assert "signature is wrong" in await refusal(clerk, server.token(key=rsa_key("eve"), header=brought))


async def test_what_is_signed_cannot_be_changed(server, clerk):
    header, payload, signature = server.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    swapped = [
        f"{header}.{encoded(claims | {'sub': 'user_eve'})}.{signature}",
        f"{encoded({'alg': 'RS256', 'kid': server.kid, 'typ': 'JWT', 'x': 1})}.{payload}.{signature}",
        f"{header}.{payload}.{signature[:-2]}",
        f"{header}.{payload}.AAAA",
    ]
    for token in swapped:
        assert "signature is wrong" in await refusal(clerk, token)


async def test_only_rs256_is_believed(server, clerk):
    """Not an unsigned token, and not one "signed" with the public key as if it were a shared secret."""
    payload = jwt.decode(server.token(), options={"verify_signature": False})
    public = server.keys[server.kid].public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def with_header(**fields):
        return f"{encoded({'typ': 'JWT', 'kid': server.kid} | fields)}.{encoded(payload)}"

    confused = with_header(alg="HS256")
    tokens = [f"{confused}.{encoded(hmac.digest(pem, confused.encode(), 'sha256'))}"]
    tokens += [f"{with_header(alg=alg)}." for alg in ("none", "None", "RS256")]
    tokens += [
        f"{with_header(alg=alg)}.AAAA" for alg in ("none", "", "rs256", "HS256", None, 7, ["RS256"], {"RS256": 1})
    ]
    tokens += [f"{with_header()}.AAAA"]
    tokens += [jwt.encode(payload, server.keys[server.kid], alg, {"kid": server.kid}) for alg in ("RS512", "PS256")]
    for token in tokens:
        assert "not a Clerk session token" in await refusal(clerk, token), token[:60]


async def test_a_header_that_is_not_a_session_tokens_is_refused(server, clerk):
    for header in ({"typ": "at+jwt"}, {"typ": 7}, {"crit": ["x"], "x": 1}, {"crit": []},
                   {"kid": ""}, {"kid": "k" * 129}):  # fmt: skip
        assert "not a Clerk session token" in await refusal(clerk, server.token(header=header)), header
    _, payload, signature = server.token().split(".")
    for header in ({"alg": "RS256"}, {"alg": "RS256", "kid": 1}, {"alg": "RS256", "kid": ["ins_1"]}, [], "x", None):
        token = f"{encoded(header)}.{payload}.{signature}"
        assert "not a Clerk session token" in await refusal(clerk, token), header
    detached = encoded({"alg": "RS256", "kid": server.kid, "b64": False, "crit": ["b64"]})
    assert await refusal(clerk, f"{detached}.{payload}.{signature}")


async def test_what_is_no_token_is_refused(server, clerk):
    token = server.token()
    header, payload, signature = token.split(".")
    deep = encoded(b"[" * 4000)
    odd = ["", ".", "..", "...", "a.b.c", token[:-1] + "=", f" {token}", f"{token}\n", f"{token}.", f"{token}.{signature}",
           f"{header}.{payload}", f"{header}..{signature}", f".{payload}.{signature}", token.replace(".", ":"), "tdm_" + "a" * 40,
           f"{deep}.{payload}.{signature}", f"{encoded(b'{')}.{payload}.{signature}", f"{encoded(bytes([255]))}.{payload}.x",
           f"{header[:-1]}.{payload}.{signature}", f"{header}.{'a' * 9}.{signature}", "\u0660.\u0660.\u0660", "\ud800.a.b",
           server.token(pad="x" * MAX_TOKEN)]  # fmt: skip
    for text in odd:
        assert await refusal(clerk, text), text
    unsigned = encoded({"alg": "RS256", "kid": "ins_unknown"})
    for part in (deep, encoded(b"7"), encoded(b"[]"), encoded(b"{"), encoded(bytes([255]))):
        assert "not a Clerk session token" in await refusal(clerk, f"{unsigned}.{part}.AAAA")
        assert await refusal(clerk, f"{header}.{part}.{signature}")


async def test_a_signed_payload_that_is_no_set_of_claims_is_refused(server, clerk):
    for payload in (b"", b"7", b"[]", b"{", b"null", b"\xff", b"[" * 4000):
        assert "not a Clerk session token" in await refusal(clerk, signed(server, payload)), payload[:10]


async def test_any_text_gets_a_401_and_a_mended_token_never_passes(server, clerk):
    token = server.token()
    cut, any_text = st.integers(0, len(token)), st.text(max_size=40)
    spliced = st.builds(lambda a, b, text: token[: min(a, b)] + text + token[max(a, b) :], cut, cut, any_text)
    words = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | any_text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
        max_leaves=6,
    )
    headers = st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("alg", "kid", "typ", "crit", "b64"), words | st.sampled_from(["RS256", server.kid]))
    )
    made_up = st.builds(lambda *parts: ".".join(encoded(p) for p in parts), headers, words, words)
    seen: set[str] = set()

    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(spliced | made_up | any_text)
    def collect(text):
        seen.add(text)

    collect()
    for text in seen - {token}:
        assert await refusal(clerk, text)


async def test_no_signed_claims_are_an_error_of_ours(server, clerk):
    """Clerk signs no such thing; if it did, it would be a principal or a 401."""
    words = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    odd = (
        words | st.lists(words, max_size=2) | st.dictionaries(st.sampled_from(["id", "rol", "sub"]), words, max_size=3)
    )
    names = ("sub", "sid", "exp", "nbf", "iat", "azp", "sts", "v", "o", "act", "org_id", "org_role", "jti", "aud")
    seen: list[dict[str, Any]] = []

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.sampled_from(names), odd, min_size=1, max_size=3))
    def collect(claims):
        seen.append(claims)

    collect()
    for claims in seen:
        try:
            principal = await clerk.verify(server.token(**claims))
        except Unauthorized:
            continue
        assert principal.role in {"admin", "manager", "member", "viewer"}, claims


@pytest.mark.parametrize(
    ("domain", "issuer"),
    [("clerk.example.com", "https://clerk.example.com"), (" https://Clerk.Example.com/ ", "https://clerk.example.com"),
     ("your-site.clerk.accounts.dev", "https://your-site.clerk.accounts.dev"),
     ("app.example.com/__clerk", "https://app.example.com/__clerk"), ("clerk.example.com:8443", "https://clerk.example.com:8443")],
)  # fmt: skip
def test_the_issuer_is_the_domain_over_https(domain, issuer):
    assert issuer_of(domain) == issuer


@pytest.mark.parametrize(
    "domain",
    ["", " ", "clerk", "localhost", "http://clerk.example.com", "ftp://clerk.example.com", "clerk.example.com?x", "a b.com",
     "user@clerk.example.com", "clerk..example.com", "-a.example.com", "clerk.example.com/a b", "clerk.example.com//a",
     "clerk.exämple.com", "https://https://clerk.example.com", "http://127.0.0.1.evil.test", "http://127.0.0.1:80@evil.test",
     "clerk.example.com\n.evil.test", "http://192.168.0.1:80", "pk_live_abc"],
)  # fmt: skip
def test_what_is_no_domain_is_refused_with_a_remedy(domain):
    with pytest.raises(ClerkDomainError, match=r"clerk\.example\.com"):
        issuer_of(domain, deployed=False)


def test_a_loopback_instance_is_for_local_set_ups_only():
    for domain in ("http://127.0.0.1:5000", "http://localhost:5000"):
        assert issuer_of(domain, deployed=False) == domain
        with pytest.raises(ClerkDomainError, match="deployment"):
            Clerk(domain, [ORIGIN])
