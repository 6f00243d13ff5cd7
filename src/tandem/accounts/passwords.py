"""Password hashes, interchangeable with better-auth's: `hexsalt:hexkey`, scrypt N=16384 r=16 p=1, 64 bytes.

The salt is the bytes of the hexadecimal *string*, the password is NFKC-normalised. One hash takes 32 MiB and tens of
milliseconds, so hashing runs in two threads, never while a database connection is held, and a crowd is turned away.
"""

import asyncio
import functools
import hashlib
import hmac
import secrets
import unicodedata
from concurrent.futures import ThreadPoolExecutor

from tandem.core.errors import Unavailable

MIN_LENGTH, MAX_LENGTH = 8, 128  # UTF-16 code units, which is what JavaScript counts
_N, _R, _P, _KEY_LENGTH = 16384, 16, 1, 64
_MEMORY = 64 * 1024 * 1024
_THREADS, _MAX_WAITING = 2, 100  # a hundred hashes are some 5 s of work for two threads
_UNKNOWN = "0" * 32 + ":" + "0" * 2 * _KEY_LENGTH


class PasswordHashingBusy(Unavailable):
    code, title = "sign_in_busy", "Too many people are signing in at this moment"


_waiting = 0


async def hash_password(password: str) -> str:
    """Raises PasswordHashingBusy when too many hashes wait already."""
    salt = secrets.token_hex(16)
    return f"{salt}:{(await _derive(password, salt)).hex()}"


async def verify_password(stored: str | None, password: str) -> bool:
    """Whether `password` has this hash. With None (an unknown user) the same work is done, and it has not.

    Raises PasswordHashingBusy when too many hashes wait already.
    """
    salt, _, expected = (stored or _UNKNOWN).partition(":")
    key = await _derive(password, salt)
    return hmac.compare_digest(key.hex(), expected.lower()) and stored is not None


def length(password: str) -> int:
    """In UTF-16 code units."""
    return len(password.encode("utf-16-le")) // 2


async def _derive(password: str, salt: str) -> bytes:
    global _waiting  # noqa: PLW0603 - one pool a process, so one queue
    if _waiting >= _MAX_WAITING:
        raise PasswordHashingBusy()
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_pool(), _scrypt, password, salt)
    finally:
        _waiting -= 1


def _scrypt(password: str, salt: str) -> bytes:
    secret = unicodedata.normalize("NFKC", password).encode()
    return hashlib.scrypt(secret, salt=salt.encode(), n=_N, r=_R, p=_P, dklen=_KEY_LENGTH, maxmem=_MEMORY)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="password")
