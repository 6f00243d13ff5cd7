"""Clerk's keys: fetched once for all, rotated, served through an outage, and taken from nothing but a sound answer."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator

import pytest
from jwt.algorithms import RSAAlgorithm
from structlog.testing import capture_logs

from tandem.accounts.clerk.keys import MAX_DOCUMENT, ClerkUnavailable, Timing
from tandem.accounts.clerk.verify import Clerk
from tandem.core.errors import Unauthorized
from tests.clerk_server import ORIGIN, PATH, Answer, ClerkServer, document, jwk, rsa_key


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[ClerkServer]:
    with ClerkServer() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def clerk(server: ClerkServer, clock: Clock) -> AsyncIterator[Clerk]:
    clerk = Clerk(server.domain, [ORIGIN], deployed=False, timing=Timing(clock=clock))
    yield clerk
    server.go_on.set()
    await clerk.close()


async def settled(clerk):
    """Let a fetch in the background come to its end."""
    if (task := clerk._keys._fetching) is not None:
        await asyncio.wait({task})


async def until(condition):
    while not condition():  # noqa: ASYNC110 - the server is in a thread
        await asyncio.sleep(0.005)


async def test_fifty_at_once_make_one_fetch(server, clerk):
    principals = await asyncio.gather(*(clerk.verify(server.token(f"user_{n}")) for n in range(50)))
    assert [p.user_id for p in principals] == [f"user_{n}" for n in range(50)]
    assert server.requests == [PATH]
    await clerk.verify(server.token())
    assert server.fetches == 1


async def test_the_keys_are_fetched_at_the_start_without_waiting_for_them(server):
    server.go_on.clear()
    async with Clerk(server.domain, [ORIGIN], deployed=False) as clerk:
        await until(lambda: server.fetches == 1)
        server.go_on.set()
        assert (await clerk.verify(server.token())).user_id == "user_ada"
        assert server.fetches == 1


async def test_who_hangs_up_leaves_the_fetch_to_the_others(server, clerk):
    server.go_on.clear()
    first, second = (asyncio.create_task(clerk.verify(server.token(user))) for user in ("user_1", "user_2"))
    await until(lambda: server.fetches == 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    server.go_on.set()
    assert (await second).user_id == "user_2"
    assert server.fetches == 1


async def test_a_close_does_not_wait_for_a_fetch(server, clerk):
    server.go_on.clear()
    waiting = asyncio.create_task(clerk.verify(server.token()))
    await until(lambda: server.fetches == 1)
    await asyncio.wait_for(clerk.close(), 5)
    with pytest.raises(Unauthorized):
        await waiting


async def test_a_new_key_is_found_and_a_withdrawn_one_forgotten(server, clerk, clock):
    old = server.token()
    await clerk.verify(old)
    server.rotate(keep=True)
    clock.now += 10
    await clerk.verify(server.token())
    await clerk.verify(old)
    assert server.fetches == 2
    del server.keys["ins_1"]
    clock.now += 299
    await clerk.verify(old)
    clock.now += 1  # the set is no longer fresh
    with pytest.raises(Unauthorized, match="does not publish"):
        await clerk.verify(old)
    await clerk.verify(server.token())
    assert server.fetches == 3


async def test_a_flood_of_unknown_keys_makes_one_fetch_per_cooldown(server, clerk, clock):
    await clerk.verify(server.token())
    clock.now += 10
    for round_ in (2, 3):
        forged = [server.token(key=rsa_key("eve"), header={"kid": f"ins_eve_{n}"}) for n in range(20)]
        results = await asyncio.gather(*(clerk.verify(token) for token in forged), return_exceptions=True)
        assert {type(result) for result in results} == {Unauthorized}
        assert server.fetches == round_
        clock.now += 9
        with pytest.raises(Unauthorized, match="does not publish"):
            await clerk.verify(forged[0])
        assert server.fetches == round_
        clock.now += 1


async def test_a_token_of_another_issuer_is_refused_without_a_fetch(server, clerk):
    with pytest.raises(Unauthorized, match="another Clerk instance"):
        await clerk.verify(server.token(iss="https://clerk.elsewhere.test", header={"kid": "ins_elsewhere"}))
    assert server.fetches == 0


async def test_known_keys_serve_through_an_outage_for_a_day(server, clerk, clock):
    await clerk.verify(server.token())
    server.answer = Answer(503)
    clock.now += 300
    await clerk.verify(server.token())  # waits and learns of the outage
    server.go_on.clear()  # from now on Clerk hangs
    for _ in range(3):
        clock.now += 10
        await clerk.verify(server.token())
        assert clerk._keys._fetching is not None  # nothing answers, and nobody waited for it
    server.go_on.set()
    await settled(clerk)
    clock.now += 86_400 - 330 - 1
    await clerk.verify(server.token())
    await settled(clerk)
    clock.now += 1
    with pytest.raises(ClerkUnavailable):
        await clerk.verify(server.token())
    server.answer = None
    clock.now += 10
    await clerk.verify(server.token())


async def test_during_an_outage_an_unknown_key_is_not_the_callers_fault(server, clerk, clock):
    await clerk.verify(server.token())
    server.rotate()
    server.answer = Answer(500)
    clock.now += 10
    with pytest.raises(ClerkUnavailable) as caught:
        await clerk.verify(server.token())
    assert caught.value.headers["Retry-After"] == "10"
    server.answer = None
    clock.now += 10
    await clerk.verify(server.token())


async def test_without_any_keys_the_answer_is_a_503_until_clerk_is_back(server, clerk, clock):
    server.answer = Answer(502)
    results = await asyncio.gather(*(clerk.verify(server.token()) for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {ClerkUnavailable}
    clock.now += 9
    with pytest.raises(ClerkUnavailable) as caught:
        await clerk.verify(server.token())
    assert (server.fetches, caught.value.headers["Retry-After"]) == (1, "1")
    server.answer = None
    clock.now += 1
    await clerk.verify(server.token())


async def test_a_server_that_is_not_there_is_an_outage(server, clock):
    async with Clerk("http://127.0.0.1:1", [ORIGIN], deployed=False) as clerk:
        with pytest.raises(ClerkUnavailable):
            await clerk.verify(server.token(iss="http://127.0.0.1:1"))


ELLIPTIC = {"kty": "EC", "kid": "ins_1", "crv": "P-256", "x": "AQ", "y": "AQ", "alg": "ES256"}
SYMMETRIC = {"kty": "oct", "kid": "ins_1", "k": "c2VjcmV0", "alg": "HS256"}
UNSOUND = {
    "an error": Answer(500),
    "nothing": Answer(),
    "a page": Answer(200, b"<html>Sign in</html>"),
    "bytes that are no text": Answer(200, b'{"keys": ["\xff"]}'),
    "deep nesting": Answer(200, b"[" * 60_000),
    "a list": Answer(200, b"[]"),
    "keys that are no list": Answer(200, b'{"keys": {"kid": "ins_1"}}'),
    "no keys": Answer(200, document()),
    "keys that are no objects": Answer(200, document("ins_1", None, 7, [])),
    "very many": Answer(200, document(*[{}] * 16_000)),
    "an elliptic key": Answer(200, document(ELLIPTIC)),
    "a symmetric key": Answer(200, document(SYMMETRIC)),
}
SPOILT = {
    "a key for encryption": {"use": "enc"},
    "a key for another algorithm": {"alg": "PS256"},
    "an elliptic key in name": {"kty": "EC"},
    "a key without an id": {"kid": None},
    "a key with an odd id": {"kid": ["ins_1"]},
    "a key without a modulus": {"n": None},
    "an unreadable modulus": {"n": "+/+/=" * 70},
    "a modulus of an impossible length": {"n": "AQABA" * 69},
    "an endless modulus": {"n": "_" * 20_000},
    "a modulus that is too long": {"n": "_" * 1390},
    "an even modulus": {"n": "_" * 342 + "4"},
    "an even exponent": {"e": "BA"},
    "an endless exponent": {"e": "_" * 300},
}


async def refused(server, clerk, clock, answer):
    """It gives no keys, and takes none away that were there."""
    server.answer = answer
    with pytest.raises(ClerkUnavailable):
        await clerk.verify(server.token())
    server.answer = None
    clock.now += 10
    await clerk.verify(server.token())
    server.answer = answer
    clock.now += 300
    await clerk.verify(server.token())
    assert server.fetches == 3


@pytest.mark.parametrize("answer", UNSOUND.values(), ids=UNSOUND)
async def test_an_answer_that_is_no_set_of_keys_is_refused(server, clerk, clock, answer):
    await refused(server, clerk, clock, answer)


@pytest.mark.parametrize("members", SPOILT.values(), ids=SPOILT)
async def test_a_key_that_is_not_for_us_is_refused(server, clerk, clock, members):
    await refused(server, clerk, clock, Answer(200, document(jwk("ins_1", rsa_key("clerk-1"), **members))))


async def test_a_short_key_is_refused(server, clerk, clock):
    await refused(server, clerk, clock, Answer(200, document(jwk("ins_1", rsa_key("short", 1024)))))


async def test_a_set_of_keys_that_is_too_long_cut_off_or_compressed_is_refused(server, clerk, clock):
    good = jwk("ins_1", rsa_key("clerk-1"))
    for number, answer in enumerate((
        Answer(200, document(good, "x" * MAX_DOCUMENT)),
        Answer(200, document(good), {"Content-Length": "100000"}),
        Answer(200, gzip.compress(document(good)), {"Content-Encoding": "gzip"}),
    )):  # fmt: skip
        server.answer = answer
        clock.now += 10
        with pytest.raises(ClerkUnavailable):
            await clerk.verify(server.token())
        assert server.fetches == number + 1


async def test_a_redirect_is_not_followed(server, clerk):
    with ClerkServer() as elsewhere:
        server.answer = Answer(302, headers={"Location": elsewhere.domain + PATH})
        with pytest.raises(ClerkUnavailable):
            await clerk.verify(server.token())
        assert elsewhere.requests == []


async def test_a_slow_answer_is_given_up(server):
    dripping = Answer(200, document(jwk("ins_1", rsa_key("clerk-1"))), pace=0.02)  # each byte in time, the whole never
    for number, answer in enumerate((None, dripping), start=1):
        server.answer = answer
        if answer is None:
            server.go_on.clear()
        async with Clerk(server.domain, [ORIGIN], deployed=False, timing=Timing(deadline=0.1)) as clerk:
            with pytest.raises(ClerkUnavailable):
                await clerk.verify(server.token())
        server.go_on.set()
        assert server.fetches == number


async def test_of_a_mixed_set_only_the_keys_for_us_are_taken(server, clerk):
    private = RSAAlgorithm.to_jwk(rsa_key("clerk-1"), as_dict=True) | {"kid": "ins_1"}  # no business of ours, but a key
    cut = jwk("ins_cut", rsa_key("clerk-1"), n="AQABA" * 69)
    symmetric = {"kty": "oct", "kid": "ins_oct", "k": "c2VjcmV0", "alg": "HS256"}
    server.answer = Answer(200, document("x", symmetric, cut, private, jwk("ins_1", rsa_key("eve"))))
    assert (await clerk.verify(server.token())).user_id == "user_ada"
    with pytest.raises(Unauthorized, match="does not publish"):
        await clerk.verify(server.token(header={"kid": "ins_oct"}))


async def test_the_log_says_why_there_are_no_keys(server, clerk):
    server.answer = Answer(404, b"no such instance")
    with capture_logs() as lines, pytest.raises(ClerkUnavailable):
        await clerk.verify(server.token())
    assert [(line["event"], line["reason"], line["url"]) for line in lines] == [
        ("clerk_keys_not_fetched", "status 404", server.domain + PATH)
    ]
