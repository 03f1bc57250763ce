"""Frames that no library sends, byte by byte, and the code with which the node closes for each.

Used by `check.py`. A connection is the standard library's own; what it sends is written here by hand.
"""
import base64, os, socket, struct

from node import DEADLINE, equal, must

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
FINAL = 0x80
PROTOCOL, INVALID, TOO_LARGE = 1002, 1007, 1009
MIB = 1 << 20


def frame(first, payload=b"", mask=b"\1\2\3\4", announced=None, wide=False):
    """A frame with its first byte as given. `announced` is a length that it claims; without `mask` it has none."""
    length = len(payload) if announced is None else announced
    flag = FINAL if mask else 0
    if length < 126 and not wide:
        head = bytes([first, flag | length])
    elif length < 65_536 and not wide:
        head = bytes([first, flag | 126]) + struct.pack(">H", length)
    else:
        head = bytes([first, flag | 127]) + struct.pack(">Q", length)
    if not mask:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def closing(code, reason=b""):
    return frame(FINAL | CLOSE, struct.pack(">H", code) + reason)


class Raw:
    """A connection whose handshake is done."""

    def __init__(self, listen, path):
        host, port = listen.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self.send(f"GET {path} HTTP/1.1\r\nhost: {listen}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                  f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n".encode())
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        must(head.startswith(b"HTTP/1.1 101 "), f"the handshake: {head[:200]}")

    def more(self):
        part = self.socket.recv(65_536)
        must(part, f"the connection ended after {self.data[:100]}")
        self.data += part

    def take(self, count):
        while len(self.data) < count:
            self.more()
        part, self.data = self.data[:count], self.data[count:]
        return part

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """First byte and payload of the next frame, which must not be masked."""
        first, length = self.take(2)
        if length == 126:
            length, = struct.unpack(">H", self.take(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.take(8))
        return first, self.take(length)

    def closed_with(self):
        """The code of a closing frame, which must come next and be the last."""
        first, payload = self.receive()
        equal(first, FINAL | CLOSE, f"a closing frame (with {payload[:100]})")
        try:
            rest = self.data + self.socket.recv(65_536)
        except ConnectionResetError:
            rest = b""  # what was sent and not read any more
        equal(rest, b"", "nothing behind a closing frame")
        self.socket.close()
        return struct.unpack(">H", payload[:2])[0] if payload else 1005


def faults():
    """What is sent, in words and bytes, and the code that must come."""
    half = "ü".encode()[:1]
    yield from ((f"reserved bit {bit:#x}", frame(FINAL | bit | TEXT, b"x"), PROTOCOL) for bit in (0x10, 0x20, 0x40))
    yield from ((f"opcode {code}", frame(FINAL | code, b"x"), PROTOCOL) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15))
    yield from ((f"control frame {code} in fragments", frame(code, b"x"), PROTOCOL) for code in (CLOSE, PING, PONG))
    yield from ((f"control frame {code} of 126 bytes", frame(FINAL | code, bytes(126)), PROTOCOL) for code in (CLOSE, PING, PONG))
    yield "a ping that announces 2^62 bytes", frame(FINAL | PING, announced=1 << 62), PROTOCOL
    yield from ((f"frame {code} without a mask", frame(FINAL | code, b"x", mask=None), PROTOCOL) for code in (TEXT, BINARY, PING))
    yield "a continuation of nothing", frame(FINAL, b"x"), PROTOCOL
    yield "a message within another", frame(TEXT, b"echo ") + frame(FINAL | TEXT, b"x"), PROTOCOL
    for what, text in (("a byte that is none", b"\xff"), ("a surrogate", b"\xed\xa0\x80"), ("an overlong slash", b"\xc0\xaf"),
                       ("beyond Unicode", b"\xf4\x90\x80\x80"), ("a half character", half)):
        yield f"UTF-8 with {what}", frame(FINAL | TEXT, b"echo " + text), INVALID
        yield f"fragments with {what}", frame(TEXT, b"echo ") + frame(0, text) + frame(FINAL), INVALID
        yield f"a reason with {what}", closing(1000, text), INVALID
    yield "a message that announces too much", frame(FINAL | BINARY, announced=32 * MIB + 1), TOO_LARGE
    yield "one that announces 2^63 bytes", frame(FINAL | BINARY, announced=1 << 63), TOO_LARGE
    yield "fragments that are too much", frame(BINARY, bytes(MIB)) + frame(0, announced=31 * MIB + 1), TOO_LARGE
    yield "a closing frame of one byte", frame(FINAL | CLOSE, b"\3"), PROTOCOL
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65_535):
        yield f"close code {code}", closing(code), PROTOCOL


def answered(raw):
    """What is odd and allowed."""
    for sent, wanted in (
        (frame(FINAL | PING), (FINAL | PONG, b"")),
        (frame(FINAL | PING, bytes(125)), (FINAL | PONG, bytes(125))),
        (frame(FINAL | PONG, b"nobody asked") + frame(FINAL | TEXT, b"echo x"), (FINAL | TEXT, b"x")),
        (frame(FINAL | TEXT, b"echo x", mask=bytes(4)), (FINAL | TEXT, b"x")),
        (frame(TEXT, "echo ü".encode()[:-1]) + frame(FINAL, "ü".encode()[1:]), (FINAL | TEXT, "ü".encode())),
        (frame(TEXT) + frame(0) * 1000 + frame(FINAL, b"echo x"), (FINAL | TEXT, b"x")),
        (frame(BINARY, b"a") + frame(FINAL | PING, b"p") + frame(FINAL, b"b"), (FINAL | PONG, b"p")),
    ):
        raw.send(sent)
        equal(raw.receive(), wanted, f"the answer to {sent[:40]}")
    equal(raw.receive(), (FINAL | BINARY, b"ab"), "fragments around a ping")
    for byte in frame(FINAL | TEXT, b"echo byte by byte"):
        raw.send(bytes([byte]))
    equal(raw.receive(), (FINAL | TEXT, b"byte by byte"), "a frame byte by byte")


def check(listen, path):
    """Returns how many faults were tried."""
    raw = Raw(listen, path)
    answered(raw)
    count = 0
    for what, sent, code in faults():
        wrong = Raw(listen, path)
        wrong.send(sent)
        equal(wrong.closed_with(), code, what)
        count += 1
    for code in (1000, 1001, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999):
        good = Raw(listen, path)
        good.send(closing(code, b"bye") + frame(FINAL | TEXT, b"echo too late"))
        equal(good.closed_with(), code, f"the answer to close code {code}")
    none = Raw(listen, path)
    none.send(frame(FINAL | CLOSE))
    equal(none.closed_with(), 1005, "the answer to a closing frame without code")
    raw.send(frame(FINAL | TEXT, b"echo unharmed"))
    equal(raw.receive(), (FINAL | TEXT, b"unharmed"), "a socket beside all that")
    raw.send(closing(1000))
    equal(raw.closed_with(), 1000, "its end")
    return count
