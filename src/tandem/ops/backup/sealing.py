"""An authenticated encryption of streams of any length: AES-256-GCM in chunks, after the STREAM construction.

    MAGIC, 32 bytes of salt, then chunks of CHUNK bytes (the last one of 0 to CHUNK), each with its tag of 16 bytes

The key of an archive is HKDF-SHA256(BACKUP_KEY, salt). A chunk's nonce is its number (11 bytes, big-endian) and a byte
that is 1 for the last chunk, so chunks cannot be reordered, repeated or left out, nor the end cut off, unnoticed. No
byte of a chunk is given out before its tag was checked. (STREAM: Hoang, Reyhanitabar, Rogaway, Vizár, "Online
Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015.)
"""

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator

from tandem.core.settings import MIN_SECRET_LENGTH, SettingsError, placeholder
from tandem.ops.backup.errors import BackupError

MAGIC = b"tandem backup 1\n"
SALT = 32
CHUNK = 256 * 1024
TAG = 16


class BackupKey:
    """What everything of a backup is sealed with. Raises SettingsError for a secret that can be guessed."""

    def __init__(self, secret: str) -> None:
        if len(secret) < MIN_SECRET_LENGTH or len(set(secret)) < 8 or placeholder(secret):
            raise SettingsError(
                [f"BACKUP_KEY is a placeholder or shorter than {MIN_SECRET_LENGTH} characters: `openssl rand -hex 32`"]
            )
        self._secret = secret.encode()

    @property
    def id(self) -> str:
        """Tells keys apart, and tells nothing about them."""
        return self._derived(b"", b"tandem backup key id", 8).hex()

    def sign(self, text: bytes) -> str:
        return hmac.new(self._derived(b"", b"tandem backup manifest", 32), text, hashlib.sha256).hexdigest()

    def of_archive(self, salt: bytes) -> bytes:
        return self._derived(salt, b"tandem backup archive", 32)

    def _derived(self, salt: bytes, purpose: bytes, length: int) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), length, salt, purpose).derive(self._secret)


async def seal(parts: AsyncIterator[bytes], key: BackupKey) -> AsyncIterator[bytes]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    header = MAGIC + secrets.token_bytes(SALT)
    cipher, number = AESGCM(key.of_archive(header[len(MAGIC) :])), 0
    yield header
    async for chunk, last in _chunks(parts, CHUNK):
        yield cipher.encrypt(_nonce(number, last), chunk, header)
        number += 1


async def unseal(parts: AsyncIterator[bytes], key: BackupKey) -> AsyncIterator[bytes]:
    """Raises BackupError when anything of the archive is not what was sealed, and gives out nothing of that part."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    header, rest = await _header(parts)
    cipher, number = AESGCM(key.of_archive(header[len(MAGIC) :])), 0
    async for chunk, last in _chunks(rest, CHUNK + TAG):
        try:
            yield cipher.decrypt(_nonce(number, last), chunk, header)
        except (InvalidTag, ValueError):
            intact = len(header) + number * (CHUNK + TAG)
            raise BackupError(f"the archive is damaged, cut off or changed after byte {intact}") from None
        number += 1


async def _header(parts: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    length, buffer = len(MAGIC) + SALT, b""
    async for part in parts:
        buffer += part
        if len(buffer) >= length:
            break
    if len(buffer) < length or not buffer.startswith(MAGIC):
        raise BackupError("the archive is no sealed backup of Tandem's, or only its first bytes are there")

    async def rest() -> AsyncIterator[bytes]:
        yield buffer[length:]
        async for part in parts:
            yield part

    return buffer[:length], rest()


async def _chunks(parts: AsyncIterator[bytes], size: int) -> AsyncIterator[tuple[bytes, bool]]:
    """Chunks of `size` bytes and whether one is the last, which may be shorter and is there even when it is empty."""
    buffer = bytearray()
    async for part in parts:
        buffer += part
        while len(buffer) > size:
            yield bytes(buffer[:size]), False
            del buffer[:size]
    yield bytes(buffer), True


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
