#!/usr/bin/env python3
"""The PyPI package `websockets` as a client of the class `Room` of the conformance guest.

  pypi_websockets.py ROOM_URL

Any wrong answer ends it with an error. Everything that it does on purpose ends by a closing frame.
"""
import asyncio, sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

# Seconds for all of it.
DEADLINE = 1800


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: {str(got)[:300]!r} in place of {str(wanted)[:300]!r}")


def open_socket(url, query="", **options):
    """Never pings by itself; offers compression, which is the library's own way."""
    return connect(url + query, max_size=None, ping_interval=None, open_timeout=DEADLINE, close_timeout=DEADLINE, **options)


async def ask(socket, message):
    await socket.send(message)
    return await socket.recv()


async def closed(socket):
    """Code and reason of the node's closing frame."""
    try:
        await socket.recv()
    except ConnectionClosed as end:
        return (end.rcvd.code, end.rcvd.reason) if end.rcvd else None
    raise AssertionError("a message came in place of a closing frame")


async def messages(url):
    async with open_socket(url) as socket:
        equal(socket.response.headers.get("sec-websocket-extensions"), None, "extensions")
        equal(await ask(socket, "echo grüße 🦀"), "grüße 🦀", "a text")
        for data in (b"", bytes(range(256)), b"\7" * (20 << 20)):
            equal(await ask(socket, data), data, f"{len(data)} bytes")
        for length in (125, 126, 65_535, 65_536, (32 << 20) - len("length ")):
            equal(await ask(socket, "length " + "x" * length), str(length), "a text of many bytes")
        await socket.send(["ec", "ho in", " ", "pieces"])
        equal(await socket.recv(), "in pieces", "a text in fragments")
        await socket.send([b"bytes ", b"", b"too"])
        equal(await socket.recv(), b"bytes too", "bytes in fragments")
        await (await socket.ping(b"there?"))
        await socket.close(4001, "bye")
        equal((socket.close_code, socket.close_reason), (4001, "bye"), "the answer to a closing frame")


async def closes(url):
    for code, reason in ((1000, ""), (1011, "sorry"), (3000, "ü" * 61), (4999, "")):
        async with open_socket(url) as socket:
            await socket.send(f"close {code} {reason}")
            equal(await closed(socket), (code, reason), "a closing frame of the object")
    socket = await open_socket(url)  # which the node closes, so that the library must not do it again
    try:
        await socket.send(bytes((32 << 20) + 1))
    except ConnectionClosed:
        pass  # it may still be writing when the node has closed
    equal((await closed(socket) or (None,))[0], 1009, "a message that is too large")


async def handshakes(url):
    async with open_socket(url, "?protocol=v2", subprotocols=["v1", "v2"]) as socket:
        equal(socket.subprotocol, "v2", "the sub-protocol")
    try:
        async with open_socket(url, origin="http://elsewhere.example"):
            raise AssertionError("a page of another origin was let in")
    except InvalidStatus as refused:
        equal(refused.response.status_code, 403, "a page of another origin")


async def many(url):
    sockets = await asyncio.gather(*(open_socket(url) for _ in range(100)))
    await sockets[0].send("broadcast to all")
    equal(await asyncio.gather(*(socket.recv() for socket in sockets)), ["to all"] * 100, "a broadcast")
    await asyncio.gather(*(socket.close() for socket in sockets))
    equal({socket.close_code for socket in sockets}, {1000}, "codes of many")


async def main(url):
    async with asyncio.timeout(DEADLINE):
        for part in (messages, closes, handshakes, many):
            await part(url)


asyncio.run(main(sys.argv[1]))
