"""Tests reach the loopback and nothing else; see conftest.py."""

import asyncio
import socket

import pytest


def test_a_socket_beyond_loopback_is_refused() -> None:
    with socket.socket() as outside, pytest.raises(PermissionError, match="may not open a connection"):
        outside.connect(("192.0.2.1", 80))


async def test_a_name_is_not_even_looked_up() -> None:
    with pytest.raises(PermissionError, match="may not resolve"):
        await asyncio.open_connection("example.com", 80)


async def test_the_loopback_is_open() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
