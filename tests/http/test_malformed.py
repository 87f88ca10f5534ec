"""Requests that are refused: each with the right status, the connection closed, and the server going on."""

from collections.abc import Iterator

import pytest

from tests.http.serving import Serving, answers, serving

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving() as running:
        yield running
    # what a client does wrong is no error of the server's
    assert running.log == ""


def refused(server: Serving, *pieces: bytes) -> int:
    """The status of the one answer; afterwards the server still serves others."""
    (answer,) = answers(server.ask(*pieces))
    assert answer.headers["connection"] == "close"
    after = server.get()
    assert (after.status, after.body) == (200, b"hello")
    return answer.status


MALFORMED = {
    "a line feed alone ends the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "line feeds alone end all lines": b"GET / HTTP/1.1\nHost: a\n\n",
    "a line feed alone ends a header": HEAD + b"A: b\nB: c\r\n\r\n",
    "a carriage return stands alone": HEAD + b"A: b\rc\r\n\r\n",
    "a null byte in a header's value": HEAD + b"A: b\x00c\r\n\r\n",
    "a null byte in a header's name": HEAD + b"A\x00: b\r\n\r\n",
    "a null byte in the target": b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a null byte instead of a request": b"\x00\r\n\r\n",
    "a control character in a value": HEAD + b"A: b\x01c\r\n\r\n",
    "a delete character in a value": HEAD + b"A: b\x7fc\r\n\r\n",
    "a folded header": HEAD + b"A: b\r\n c\r\n\r\n",
    "white space before the first header": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "a space before the colon": HEAD + b"A : b\r\n\r\n",
    "a tab before the colon": HEAD + b"A\t: b\r\n\r\n",
    "a parenthesis in a header's name": HEAD + b"A(: b\r\n\r\n",
    "a slash in a header's name": HEAD + b"A/B: c\r\n\r\n",
    "a quotation mark in a header's name": HEAD + b'A": b\r\n\r\n',
    "a bracket in a header's name": HEAD + b"A[b]: c\r\n\r\n",
    "a line feed in a header's name": HEAD + b"A\n: b\r\n\r\n",
    "a header without a name": HEAD + b": b\r\n\r\n",
    "a header without a colon": HEAD + b"novalue\r\n\r\n",
    "a byte beyond ASCII in a header's name": HEAD + b"A\x80: b\r\n\r\n",
    "two spaces before the target": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space behind the version": b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tab in the target": b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n",
    "tabs in the request line": b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n",
    "a version in small letters": b"GET / http/1.1\r\nHost: a\r\n\r\n",
    "a space before the method": b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "no version": b"GET /\r\nHost: a\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: a\r\n\r\n",
    "another protocol": b"DESCRIBE / RTSP/1.0\r\n\r\n",
    "a version that is no number": b"GET / HTTP/x.y\r\nHost: a\r\n\r\n",
    "an invalid method": b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target that is no path": b"GET foo HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target with a fragment": b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target without a host": b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target with a user": b"GET http://u:p@h/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target of another scheme": b"GET ftp://h/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "a host and a port for a GET": b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "an asterisk for a GET": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": HEAD + b"Host: b\r\n\r\n",
    "a Host with a path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a Host with a space": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a Host with a user": b"GET / HTTP/1.1\r\nHost: u@b\r\n\r\n",
    "a negative Content-Length": POST + b"Content-Length: -1\r\n\r\n",
    "a Content-Length with a sign": POST + b"Content-Length: +5\r\n\r\nhello",
    "a Content-Length in hexadecimal": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "an empty Content-Length": POST + b"Content-Length: \r\n\r\n",
    "a Content-Length with two numbers": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "a Content-Length with a space inside": POST + b"Content-Length: 5 5\r\n\r\nhello",
    "a Content-Length beyond 64 bits": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "a Content-Length with an underscore": POST + b"Content-Length: 1_0\r\n\r\nhellohello",
    "a space before Content-Length": POST + b" Content-Length: 5\r\n\r\nhello",
    "a Content-Length with a digit beyond ASCII": POST + b"Content-Length: \xb2\r\n\r\nhello",
    "two equal Content-Lengths": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "two different Content-Lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "Transfer-Encoding before Content-Length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
    "Content-Length before Transfer-Encoding": POST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an empty Transfer-Encoding": POST + b"Transfer-Encoding: \r\nContent-Length: 5\r\n\r\nhello",
    "a vertical tab before chunked": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked and nothing behind a comma": POST + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
    "chunked, then identity": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunked that is not the last coding": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
    "a TLS handshake": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40,
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_head_is_answered_with_400_and_the_connection_closed(server: Serving, request_bytes: bytes) -> None:
    assert refused(server, request_bytes) == 400


MALFORMED_CHUNKS = {
    "no size": b"\r\n",
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a size with a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"f" * 17 + b"\r\nhello",
    "a size behind a space": b" 5\r\nhello\r\n0\r\n\r\n",
    "a size with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size with an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "a size of too many zeros": b"0" * 5000 + b"5\r\nhello\r\n0\r\n\r\n",
    "a size with a space": b"5 \r\nhello\r\n0\r\n\r\n",
    "a line feed alone behind the size": b"5\nhello\r\n0\r\n\r\n",
    "a line feed alone behind the data": b"5\r\nhello\n0\r\n\r\n",
    "a carriage return alone behind the data": b"5\r\nhello\r0\r\n\r\n",
    "line feeds alone at the end": b"0\n\n",
    "more data than the size": b"5\r\nhelloX\r\n0\r\n\r\n",
    "less data than the size": b"5\r\nhel\r\n0\r\n\r\n",
    "an extension with a line feed alone": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "an extension with a carriage return alone": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "an extension that quotes the end of its line": b'5;a="\r\nhello\r\n0\r\n\r\n"\r\n',
    "an extension behind a space": b"5 ;a=b\r\nhello\r\n0\r\n\r\n",
    "many extensions": (b"1;" + b"a" * 3000 + b"\r\nx\r\n") * 100 + b"0\r\n\r\n",
    "an extension without an end": b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
    "a trailer with a null byte": b"0\r\nT\x00: x\r\n\r\n",
    "a trailer with a line feed alone": b"0\r\nT: x\n\n",
    "a folded trailer": b"0\r\nT: x\r\n y\r\n\r\n",
    "a trailer that is a request": b"0\r\nGET / HTTP/1.1\r\n\r\n",
    "a Content-Length among the trailers": b"0\r\nContent-Length: 5\r\n\r\nhello",
    "a Transfer-Encoding among the trailers": b"0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "trailers without an end": b"0\r\n" + b"T: x\r\n" * 20000,
}


@pytest.mark.parametrize("body", MALFORMED_CHUNKS.values(), ids=MALFORMED_CHUNKS)
def test_a_malformed_chunk_is_answered_with_400_and_the_connection_closed(server: Serving, body: bytes) -> None:
    assert refused(server, CHUNKED + body) == 400


@pytest.mark.parametrize("body", MALFORMED_CHUNKS.values(), ids=MALFORMED_CHUNKS)
def test_it_makes_no_difference_when_the_malformed_chunk_comes_byte_by_byte(server: Serving, body: bytes) -> None:
    pieces = [body[place : place + 1] for place in range(min(len(body), 40))]
    assert refused(server, CHUNKED, *pieces, body[40:]) == 400


OTHERS = {
    "an unknown method": (501, b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a method of a kilobyte": (501, b"A" * 1000 + b" / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a method without an end": (414, b"A" * 9000),
    "a chunk of 64 bits": (413, CHUNKED + b"f" * 16 + b"\r\nhello"),
    "a chunk that its end makes too large": (413, CHUNKED + b"fffffffffffffffe;a\r\nhello"),
    "a method in small letters": (501, b"get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "CONNECT": (501, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "an unknown transfer coding": (501, POST + b"Transfer-Encoding: gzip\r\n\r\n"),
    "identity as a transfer coding": (501, POST + b"Transfer-Encoding: identity\r\n\r\n"),
    "a coding before chunked": (501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "a coding that only looks like chunked": (501, POST + b"Transfer-Encoding: xchunked\r\n\r\n"),
    "a comma before chunked": (501, POST + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n"),
    "chunked in quotation marks": (501, POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'),
    "chunked with a parameter": (501, POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
    "a coding that only looks like chunked, with a length": (
        501,
        POST + b"Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\nhello",
    ),
    "identity, then chunked": (
        501,
        POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "an expectation twice": (
        417,
        POST + b"Expect: 100-continue\r\nExpect: 100-continue\r\n" + b"Content-Length: 1\r\n\r\n",
    ),
    "HTTP/2.0": (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    "the preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/0.9 with its version": (505, b"GET / HTTP/0.9\r\n\r\n"),
    "HTTP/1.2": (505, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    "HTTP/11.1": (505, b"GET / HTTP/11.1\r\nHost: a\r\n\r\n"),
    "an unknown expectation": (417, POST + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\n"),
    "a Content-Length beyond all disks": (413, POST + b"Content-Length: 9223372036854775808\r\n\r\n"),
    "a request line that is too long": (414, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a request line without an end": (414, b"GET /" + b"a" * 9000),
    "a header that is too large": (431, HEAD + b"A: " + b"b" * 70000 + b"\r\n\r\n"),
    "a header of a megabyte": (431, HEAD + b"A: " + b"b" * 1000000 + b"\r\n\r\n"),
    "a header without an end": (431, HEAD + b"A: " + b"b" * 70000),
    "too many headers": (431, HEAD + b"".join(b"A%d: b\r\n" % number for number in range(1000)) + b"\r\n"),
}


@pytest.mark.parametrize(("status", "request_bytes"), OTHERS.values(), ids=OTHERS)
def test_what_is_not_served_here_is_said_by_the_right_status(
    server: Serving, status: int, request_bytes: bytes
) -> None:
    assert refused(server, request_bytes) == status


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED)
def test_it_makes_no_difference_when_the_malformed_head_comes_byte_by_byte(
    server: Serving, request_bytes: bytes
) -> None:
    pieces = [request_bytes[place : place + 1] for place in range(len(request_bytes))]
    with server.connect() as client:
        try:
            for piece in pieces:
                client.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before its end
        data = b""
        try:
            while part := client.recv(4096):
                data += part
        except ConnectionResetError:
            pass
    assert data.startswith(b"HTTP/1.1 400 ") or data == b""
    assert server.get().status == 200


def test_a_request_behind_a_refused_one_is_not_served(server: Serving) -> None:
    (answer,) = answers(server.ask(HEAD + b"A : b\r\n\r\n" + HEAD + b"\r\n"))
    assert answer.status == 400


@pytest.mark.parametrize("options", [b"close", b"Foo, CLOSE", b"keep-alive\r\nConnection: close"])
def test_a_request_behind_one_that_closes_the_connection_is_not_served(server: Serving, options: bytes) -> None:
    (answer,) = answers(server.ask(HEAD + b"Connection: " + options + b"\r\n\r\n" + HEAD + b"\r\n"))
    assert answer.status == 200


def test_what_stands_behind_the_last_chunk_is_the_next_request(server: Serving) -> None:
    first, second = answers(server.ask(CHUNKED + b"5\r\nhello\r\n0\r\n\r\nhello\r\n\r\n"))
    assert (first.status, first.body, second.status) == (200, b"hello", 400)


def test_a_coding_with_an_underscore_is_no_transfer_coding(server: Serving) -> None:
    head = POST + b"Transfer_Encoding: chunked\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"
    (answer,) = answers(server.ask(head + b"0\r\n\r\n"))
    assert answer.body == b"0\r\n\r\n"


def test_requests_before_a_malformed_one_are_served(server: Serving) -> None:
    first, second, third = answers(server.ask(HEAD + b"\r\n" + HEAD + b"\r\n" + b"\x00"))
    assert (first.status, second.status, third.status) == (200, 200, 400)


def test_empty_lines_before_a_request_are_ignored(server: Serving) -> None:
    first, second = answers(server.ask(b"\r\n\r\n" + HEAD + b"\r\n\r\n" + HEAD + b"Connection: close\r\n\r\n"))
    assert (first.status, second.status) == (200, 200)


def test_an_empty_line_that_comes_in_two_pieces_is_ignored(server: Serving) -> None:
    (answer,) = answers(server.ask(b"\r", b"\n", b"\r\n", HEAD + b"Connection: close\r\n\r\n"))
    assert answer.status == 200
