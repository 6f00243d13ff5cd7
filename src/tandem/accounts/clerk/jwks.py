"""From a JWKS document to the keys we verify with. The document is believed to be Clerk's, not to be well-formed."""

import base64
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MAX_KEYS = 32
MAX_KID = 128
_KEY_BITS = range(2048, 8193)  # shorter is forgeable, longer makes every verification dear
_BASE64URL = re.compile(r"[\w-]{2,1400}", re.ASCII)


class JwksError(Exception):
    """The document holds no key to verify with. The message says why and quotes nothing of it."""


def rsa_keys(document: bytes) -> dict[str, "RSAPublicKey"]:
    """The keys by `kid` that may verify RS256; others (EC, symmetric, for encryption, unreadable) are passed over.

    Raises JwksError if none remains.
    """
    try:
        parsed = json.loads(document)
    except (ValueError, RecursionError):
        raise JwksError("not JSON") from None
    entries = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(entries, list):
        raise JwksError("no list of keys")
    keys: dict[str, RSAPublicKey] = {}
    for entry in entries[:MAX_KEYS]:
        if isinstance(entry, dict) and _for_rs256(entry) and (key := _public_key(entry)) is not None:
            keys.setdefault(entry["kid"], key)
    if not keys:
        raise JwksError("no RSA key for RS256 signatures")
    return keys


def _for_rs256(entry: dict[str, Any]) -> bool:
    kid = entry.get("kid")
    return (
        entry.get("kty") == "RSA"
        and entry.get("alg", "RS256") == "RS256"
        and entry.get("use", "sig") == "sig"
        and isinstance(kid, str)
        and 0 < len(kid) <= MAX_KID
    )


def _public_key(entry: dict[str, Any]) -> "RSAPublicKey | None":
    """Made of `n` and `e` alone: from a private key PyJWT would first work out its factors."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    n, e = _number(entry.get("n")), _number(entry.get("e"))
    if n.bit_length() not in _KEY_BITS or n % 2 == 0 or e.bit_length() > 32:
        return None
    try:
        return RSAPublicNumbers(e, n).public_key()
    except ValueError:
        return None


def _number(value: Any) -> int:
    """Base64url, big-endian; 0 for anything else."""
    if not isinstance(value, str) or not _BASE64URL.fullmatch(value) or len(value) % 4 == 1:
        return 0
    return int.from_bytes(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)), "big")
