"""The sealed archive: what went in comes out, and nothing that was touched does."""

from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import pytest

from tandem.core.settings import SettingsError
from tandem.ops.backup.errors import BackupError
from tandem.ops.backup.sealing import CHUNK, MAGIC, SALT, TAG, BackupKey, seal, unseal
from tests.ops.backing_up import KEY, OTHER_KEY

START, SEALED = len(MAGIC) + SALT, CHUNK + TAG


async def parts_of(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def sealed(content: bytes, size: int = 100_000) -> bytes:
    return b"".join([part async for part in seal(parts_of(content, size), KEY)])


async def opened(content: bytes, key: BackupKey = KEY, size: int = 77_777) -> bytes:
    return b"".join([part async for part in unseal(parts_of(content, size), key)])


def pattern(length: int) -> bytes:
    """No two chunks are alike."""
    return b"".join(number.to_bytes(4, "big") for number in range(length // 4 + 1))[:length]


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5])
async def test_what_was_sealed_is_opened_whatever_its_length(length: int) -> None:
    content = pattern(length)
    archive = await sealed(content)
    assert await opened(archive) == content
    assert await opened(archive, size=1000 if length < CHUNK else SEALED) == content
    assert len(content) < 64 or content[:64] not in archive


async def test_the_same_content_is_never_sealed_the_same_way() -> None:
    assert await sealed(b"the same") != await sealed(b"the same")


CHUNKS = 3
Damage = Callable[[bytes], bytes]
DAMAGES: dict[str, Damage] = {
    "a bit of the magic": lambda a: bytes([a[0] ^ 1]) + a[1:],
    "a bit of the salt": lambda a: a[: START - 1] + bytes([a[START - 1] ^ 1]) + a[START:],
    "a bit of the first chunk": lambda a: a[:START] + bytes([a[START] ^ 1]) + a[START + 1 :],
    "a bit of the last tag": lambda a: a[:-1] + bytes([a[-1] ^ 1]),
    "one byte less": lambda a: a[:-1],
    "one byte more": lambda a: a + b"x",
    "cut off inside a chunk": lambda a: a[: START + SEALED + 100],
    "cut off between two chunks": lambda a: a[: START + SEALED],
    "nothing but the header": lambda a: a[:START],
    "less than the header": lambda a: a[:10],
    "nothing": lambda a: a[:0],
    "the first chunk left out": lambda a: a[:START] + a[START + SEALED :],
    "two chunks exchanged": lambda a: (
        a[:START] + a[START + SEALED : START + 2 * SEALED] + a[START : START + SEALED] + a[START + 2 * SEALED :]
    ),
    "a chunk twice": lambda a: a[: START + SEALED] + a[START:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_an_archive_that_was_touched_is_refused(damage: Damage) -> None:
    archive = await sealed(pattern(CHUNKS * CHUNK - 100))
    with pytest.raises(BackupError, match=r"damaged|no sealed backup"):
        await opened(damage(archive))


async def test_what_is_given_out_before_the_damage_is_what_was_sealed() -> None:
    content = pattern(CHUNKS * CHUNK - 100)
    archive = await sealed(content)
    touched = archive[:-1] + bytes([archive[-1] ^ 1])
    given = bytearray()

    async def read() -> None:
        async for part in unseal(parts_of(touched, 99_999), KEY):
            given.extend(part)

    with pytest.raises(BackupError):
        await read()
    assert given == content[: (CHUNKS - 1) * CHUNK]


async def test_a_chunk_of_another_archive_does_not_fit() -> None:
    one, other = await sealed(pattern(3 * CHUNK)), await sealed(pattern(3 * CHUNK))
    with pytest.raises(BackupError):
        await opened(one[:START] + other[START : START + SEALED] + one[START + SEALED :])


async def test_another_key_opens_nothing() -> None:
    with pytest.raises(BackupError):
        await opened(await sealed(b"secret"), OTHER_KEY)


@pytest.mark.parametrize("secret", ["short", "a" * 64, "change-me-" * 8])
def test_a_key_that_can_be_guessed_is_refused(secret: str) -> None:
    with pytest.raises(SettingsError, match="BACKUP_KEY"):
        BackupKey(secret)


def test_ids_of_keys_differ_and_do_not_hold_the_key() -> None:
    ids = [KEY.id, OTHER_KEY.id, BackupKey("0f1e2d3c4b5a69788796a5b4c3d2e1f1" * 2).id]
    assert all(one != other for one, other in pairwise(sorted(ids)))
    assert KEY.id == BackupKey("0f1e2d3c4b5a69788796a5b4c3d2e1f0" * 2).id
