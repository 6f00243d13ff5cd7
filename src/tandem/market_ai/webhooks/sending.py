"""One attempt: a POST to an address that was checked, and what can be told of its outcome. Never in a transaction."""

import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

import anyio
import httpx2

from tandem.market_ai.webhooks.addresses import Address, Network, NoPublicAddress, literal, resolve
from tandem.market_ai.webhooks.schemas import Error

TIMEOUT = 15.0  # seconds, from the name's look-up to the response's headers
CONNECT = 5.0  # seconds for one address
BODY = 2.0  # seconds for the beginning of the response's body, which changes nothing
EXCERPT = 1000  # bytes of it that are read and kept
MAX_RETRY_AFTER = timedelta(hours=6)
_SUCCESS = range(200, 300)
_REDIRECT = range(300, 400)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` of the response, if there was one; `error` is None for success."""

    at: datetime
    duration_ms: int
    status: int | None
    error: Error | None
    excerpt: str = ""
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    excerpt: str
    retry_after: timedelta | None

    @property
    def error(self) -> Error | None:
        if self.status in _SUCCESS:
            return None
        return "redirect" if self.status in _REDIRECT else "http_error"


@dataclass(frozen=True, slots=True)
class _Request:
    """`patience` is the scope that ends it."""

    url: httpx2.URL
    body: bytes
    headers: Mapping[str, str]
    patience: anyio.CancelScope


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    """One a process: reading the certificates takes longer than the rest of an attempt."""
    return httpx2.create_ssl_context(trust_env=False)


async def post(url: str, body: bytes, headers: Mapping[str, str], networks: Sequence[Network]) -> Outcome:
    """Raises nothing but a cancellation. Redirects are not followed: where they lead was not checked."""
    at, began = datetime.now(UTC), time.monotonic()
    answer: _Answer | None = None
    error: Error | None
    try:
        with anyio.fail_after(TIMEOUT) as patience:
            answer = await _ask(_Request(httpx2.URL(url), body, headers, patience), networks)
        error = answer.error
    except NoPublicAddress:
        error = "no_public_address"
    except (TimeoutError, httpx2.TimeoutException):
        error = "timeout"
    except httpx2.ConnectError as failed:
        error = "tls_failed" if _is_tls(failed) else "connection_failed"
    except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError):
        error = "invalid_response"
    duration = round((time.monotonic() - began) * 1000)
    if answer is None:
        return Outcome(at, duration, None, error)
    return Outcome(at, duration, answer.status, error, answer.excerpt, answer.retry_after)


async def _ask(request: _Request, networks: Sequence[Network]) -> _Answer:
    url = request.url
    port = url.port or (443 if url.scheme == "https" else 80)
    addresses = await resolve(url.scheme, url.host, port, networks)
    # A client for one attempt: connections are kept by address, and a next host behind the same address would be
    # spoken to over one whose certificate was checked for this host.
    patience = httpx2.Timeout(None, connect=CONNECT)
    async with httpx2.AsyncClient(verify=tls(), trust_env=False, timeout=patience) as client:
        for address in addresses[:-1]:
            try:
                return await _ask_at(client, address, request)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return await _ask_at(client, addresses[-1], request)


async def _ask_at(client: httpx2.AsyncClient, address: Address, request: _Request) -> _Answer:
    """The host's name stays in the request and in what its certificate is checked for."""
    url = request.url
    named = {} if literal(url.host) is not None else {"sni_hostname": url.raw_host.decode()}
    sent = {
        "Host": url.netloc.decode(),
        "Content-Type": "application/json",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **request.headers,
    }
    target = url.copy_with(host=str(address))
    async with client.stream("POST", target, content=request.body, headers=sent, extensions=named) as response:
        request.patience.deadline = anyio.current_time() + 2 * BODY  # a 2xx has come, and nothing undoes it
        return _Answer(response.status_code, await _beginning(response), _retry_after(response))


async def _beginning(response: httpx2.Response) -> str:
    """As text that can be stored and shown; whatever goes wrong with it, the status is what counts."""
    read = bytearray()
    with anyio.move_on_after(BODY):
        try:
            async for part in response.aiter_raw():
                read += part
                if len(read) >= EXCERPT:
                    break
        except (httpx2.HTTPError, OSError):
            pass
    text = bytes(read[:EXCERPT]).decode(errors="replace")
    return "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)


def _retry_after(response: httpx2.Response) -> timedelta | None:
    """Seconds or a date (RFC 9110, section 10.2.3), within reason."""
    if response.status_code in _SUCCESS:
        return None
    said = response.headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        wait = timedelta(seconds=min(int(said[:9]), MAX_RETRY_AFTER.total_seconds()))
    else:
        try:
            wait = parsedate_to_datetime(said).replace(tzinfo=UTC) - datetime.now(UTC)
        except (ValueError, OverflowError):
            return None
    return min(max(wait, timedelta(0)), MAX_RETRY_AFTER)


def _is_tls(error: BaseException) -> bool:
    """The library says so only in the errors behind its own."""
    behind = error.__cause__ or error.__context__
    return isinstance(error, ssl.SSLError) or (behind is not None and _is_tls(behind))
