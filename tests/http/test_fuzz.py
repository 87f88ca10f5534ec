"""Requests that chance has damaged, judged by another parser.

Each round sends some requests, with bytes changed, dropped, doubled or put in, on a connection of its own and in
pieces of any size. Whatever the server takes for a request, h11, another implementation of RFC 9112, has to find at the
same place of the same bytes: method, target, and body. Where two parsers differ, requests can be
smuggled. What the server refuses ends the connection with one answer that says so; no exception, no log, no hang.
"""

import json
import random
import re
import socket
from collections.abc import Iterator

import h11
import pytest

from tests.http.serving import Answer, Serving, answers, read_all, serving

ECHO = """
import json

def application(environ, start_response):
    body = environ['wsgi.input'].read()
    data = [environ['REQUEST_METHOD'], environ['RAW_URI'], body.decode('latin-1')]
    start_response('200 OK', [('Content-Type', 'application/json')])
    return [json.dumps(data).encode()]
"""

REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a/b?c=d%20e HTTP/1.1\r\nHost: example.org:80\r\nAccept: */*\r\nCookie: a=b\r\nCookie: c\r\n\r\n",
    b"GET http://h/x HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
    b"POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    b"PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n6;x=y\r\n world\r\n0\r\nT: x\r\n\r\n",
    b"GET /u HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
]
PIECES = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b":",
        b",",
        b";",
        b"0",
        b"1",
        b"f",
        b"-",
        b"+",
        b"_",
        b"\x0b",
        b"\xff",
        b"\xc3\xa9",
    ),
    *(b"\r\n\r\n", b"0\r\n\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"chunked", b"HTTP/1.0"),
    *(b"Host: b\r\n", b"Connection: close\r\n", b"Content-Length", b"Expect: 100-continue\r\n", b" folded\r\n"),
]
REFUSALS = {400, 408, 413, 414, 417, 431, 501, 505}


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving(ECHO, "limits=Limits(head_time=2, stall=2, idle=2, unread_body=1000)") as running:
        yield running
    assert running.log == ""


def damaged(chance: random.Random, data: bytes) -> bytes:
    """`data` with up to four faults."""
    for _ in range(chance.randrange(5)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice([0, 0, 1, 1, 2, 8, 40]))
        put = chance.choice([b"", chance.choice(PIECES), data[at:end] * 2, bytes([chance.randrange(256)])])
        data = data[:at] + put + data[end:]
    return data


def exchange(server: Serving, chance: random.Random, data: bytes) -> list[Answer]:
    """What the server answers to `data`, sent in pieces."""
    with server.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while data:
                size = chance.choice([1, 2, 10, 100, len(data), len(data)])
                client.sendall(data[:size])
                data = data[size:]
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before its end
        return answers(read_all(client).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b""))  # the last may be without more


def covered(data: bytes) -> tuple[bytes, bytes]:
    """`data` with letters for the bytes beyond ASCII in the first target, which h11 refuses; and that target."""
    line, end, rest = data.partition(b"\r\n")
    method, _, behind = line.partition(b" ")
    target, _, version = behind.partition(b" ")
    return b" ".join([method, re.sub(rb"[\x80-\xff]", b"x", target), version]) + end + rest, target


def as_h11_reads(data: bytes, count: int) -> list[list[str]]:
    """The first `count` requests in `data`: method, target, body."""
    found = []
    for _ in range(count):
        while data.startswith(b"\r\n"):  # RFC 9112, 2.2: ignored before a request
            data = data[2:]
        data, target = covered(data)
        # a new one for each: it would not go on after HTTP/1.0, or when another protocol may follow
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        connection.receive_data(data)
        request = connection.next_event()
        assert isinstance(request, h11.Request), request
        body = bytearray()
        while isinstance(event := connection.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage), event
        assert len(request.target) == len(target)
        found.append([request.method.decode(), target.decode("latin-1"), body.decode("latin-1")])
        data = connection.trailing_data[0]
    return found


def try_rounds(server: Serving, seed: int, rounds: int) -> None:
    print(f"seed {seed}, {rounds} rounds")
    chance = random.Random(seed)
    for number in range(rounds):
        data = damaged(chance, b"".join(chance.choices(REQUESTS, k=chance.randrange(1, 4))))
        found = exchange(server, chance, data)
        served = [answer for answer in found if answer.status == 200]
        where = f"seed {seed}, round {number}: {data!r} -> {found}"
        assert [answer.status for answer in found[: len(served)]] == [200] * len(served), where
        assert len(found) <= len(served) + 1 and {answer.status for answer in found} <= REFUSALS | {200}, where
        try:
            read = as_h11_reads(data, len(served))
        except (h11.RemoteProtocolError, AssertionError) as error:
            raise AssertionError(f"h11 does not read what was served: {error}; {where}") from error
        assert [json.loads(answer.body) for answer in served] == read, where
    assert server.get().status == 200


def test_damaged_requests_are_refused_or_read_as_another_parser_reads_them(server: Serving) -> None:
    try_rounds(server, random.SystemRandom().randrange(1 << 32), 300)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_damaged_requests(server: Serving) -> None:
    try_rounds(server, random.SystemRandom().randrange(1 << 32), 100_000)
