"""A Clerk instance on the loopback: it publishes real RSA keys, and tokens are signed with them.

    with ClerkServer() as clerk:
        settings = settings.model_copy(update={"clerk_domain": clerk.domain, "cors_origins": ORIGIN})
        await client.get("/api/campaigns", headers=clerk.headers("user_ada", org="org_acme", role="member"))

`rotate()` changes the key, `answer` and `go_on` make it misbehave, `fetches` counts who came for its keys.
"""

import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

ORIGIN = "https://app.example.test"  # of the front end: the `azp` of its tokens
PATH = "/.well-known/jwks.json"


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The key of that name, made once in a test run: it takes a tenth of a second."""
    return rsa.generate_private_key(65537, bits)


def jwk(kid: str, key: rsa.RSAPrivateKey, /, **members: Any) -> dict[str, Any]:
    """The public half of `key` as Clerk publishes it; a member that is None is left out."""
    public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    entry = {"use": "sig", "kty": "RSA", "kid": kid, "alg": "RS256", "n": public["n"], "e": public["e"]} | members
    return {name: value for name, value in entry.items() if value is not None}


def document(*entries: Any) -> bytes:
    return json.dumps({"keys": list(entries)}).encode()


@dataclass
class Answer:
    """What the server says instead of its keys."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    pace: float = 0  # seconds; with it the body comes byte by byte


class ClerkServer:
    """Runs inside a `with` block. `domain` is what to set CLERK_DOMAIN to, and the issuer of its tokens."""

    def __init__(self) -> None:
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.answer: Answer | None = None
        self.go_on = threading.Event()  # cleared, the server takes requests and does not answer
        self.go_on.set()
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.domain = f"http://127.0.0.1:{self._server.server_port}"
        self.rotate()

    @property
    def fetches(self) -> int:
        return self.requests.count(PATH)

    @property
    def kid(self) -> str:
        """Of the key that signs: the one published last."""
        return list(self.keys)[-1]

    def rotate(self, *, keep: bool = False) -> str:
        """Sign with a new key, and publish it alone or beside the old ones; its `kid`."""
        number = int(self.kid.removeprefix("ins_")) + 1 if self.keys else 1
        self.keys = (self.keys if keep else {}) | {f"ins_{number}": rsa_key(f"clerk-{number}")}
        return self.kid

    def token(
        self,
        user: str = "user_ada",
        *,
        org: str | None = None,
        role: str = "admin",
        key: rsa.RSAPrivateKey | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A session token, as version 2 has it, good for a minute; a claim that is None is left out."""
        now = int(time.time())
        payload = {"iss": self.domain, "sub": user, "sid": f"sess_{user}", "azp": ORIGIN, "iat": now, "nbf": now - 10,
                   "exp": now + 60, "jti": "f0e1d2c3", "v": 2, "fva": [0, -1], "sts": "active"}  # fmt: skip
        if org is not None:
            payload |= {"o": {"id": org, "rol": role, "slg": "acme", "per": "read,manage", "fpm": "3"}, "fea": "o:ads"}
        payload = {name: value for name, value in (payload | claims).items() if value is not None}
        return jwt.encode(payload, key or self.keys[self.kid], "RS256", headers={"kid": self.kid} | (header or {}))

    def headers(self, user: str = "user_ada", **kwargs: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(user, **kwargs)}"}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(clerk: ClerkServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            clerk.requests.append(self.path)
            clerk.go_on.wait()
            answer = clerk.answer or Answer(body=document(*(jwk(kid, key) for kid, key in clerk.keys.items())))
            self.send_response(answer.status)
            for name, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # who thinks it too long hangs up
                step = 1 if answer.pace else len(answer.body) or 1
                for start in range(0, len(answer.body), step):
                    time.sleep(answer.pace)
                    self.wfile.write(answer.body[start : start + step])

        def log_message(self, *args: Any) -> None:
            pass

    return Handler
