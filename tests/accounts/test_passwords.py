"""Password hashes are better-auth's."""

import asyncio
import threading

import pytest

from tandem.accounts import passwords
from tandem.core.errors import Unavailable

# Made by better-auth 1.7.25: `import { hashPassword } from "better-auth/crypto"`.
VECTORS = {
    "correct horse battery": "4f94eda5a5d00b2cf5a17d0d4e234317:"
    "70398b8be0d6aca520ea5d64a65ec962e0d35313e758f53a6721ae7cb40c7f67"
    "d8ab3539313c7b1846308c1c2d2b902f80e6093d9c6d90325098dfc7ea61f9eb",
    "pässwörd-Ⅷ": "9566e52e66f0fe333d309b40ba665eb9:"
    "9d9857c56368f093473627ab880a45cd11287acc612426ac4b59076b54d245cf"
    "513a17d5919bd709fa93001daa98bcdfb325af478056b8570c2e7dc13bf9a3c2",
    "😀😀😀😀": "2f5cac32c07ef5755b89f2d1eade02f6:"
    "830ea8c82eab28acda06f1e3e335db6f8a15fbb55f7b9eefec1b8c254e8bc3c6"
    "ff5791db71817979e562f011927f15572a2a1d07e04f48c36875c09615e47e49",
}


@pytest.mark.parametrize(("password", "stored"), VECTORS.items())
async def test_a_hash_of_better_auth_verifies_here(password, stored):
    assert await passwords.verify_password(stored, password)
    assert not await passwords.verify_password(stored, password + " ")


async def test_a_password_hashed_here_verifies_and_never_twice_alike():
    one, other = await passwords.hash_password("secret-1"), await passwords.hash_password("secret-1")
    assert one != other
    assert await passwords.verify_password(one, "secret-1")
    assert not await passwords.verify_password(one, "secret-2")


@pytest.mark.parametrize("stored", ["", ":", "no colon", "00:", "$2b$10$abcdefghijklmnopqrstuv"])
async def test_a_hash_of_another_kind_verifies_nothing(stored):
    assert not await passwords.verify_password(stored, "")
    assert not await passwords.verify_password(stored, "secret-1")


async def test_at_most_two_hashes_run_at_once(monkeypatch):
    running, most, guard = 0, 0, threading.Lock()
    scrypt = passwords._scrypt

    def watched(password, salt):
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        try:
            return scrypt(password, salt)
        finally:
            with guard:
                running -= 1

    monkeypatch.setattr(passwords, "_scrypt", watched)
    await asyncio.gather(*(passwords.hash_password("x") for _ in range(6)))
    assert most == 2


async def test_the_hundred_and_first_in_the_queue_is_turned_away(monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(passwords, "_scrypt", lambda *_: gate.wait(10) and b"")
    waiting = [asyncio.create_task(passwords.hash_password("x")) for _ in range(100)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await passwords.hash_password("x")
    gate.set()
    assert len(await asyncio.gather(*waiting)) == 100
    assert await passwords.hash_password("x")
