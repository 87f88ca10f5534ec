"""What the server makes of requests, good and bad. Every bad one is answered as expected, and the server goes on."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gossamer.http.limits import Limits
from tests.http.serving import Serving, body_of, receive_all, receive_until, serving, status_of


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answers with what the request was."""
    body = environ["wsgi.input"].read()
    keys = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL")
    shown = [f"{key}={environ[key]!r}" for key in keys]
    shown += sorted(f"{key}={value!r}" for key, value in environ.items() if key.startswith(("HTTP_X", "HTTP_C")))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\n".join([*shown, f"body={body!r}"]).encode("latin-1")]


@pytest.fixture
def served() -> Iterator[Serving]:
    limits = Limits(request_line=1000, head=4000, header_count=20, body=100_000, head_time=0.5, stall=0.5)
    with serving(echo, limits=limits) as running:
        yield running
        assert status_of(running.get()) == "200 OK", "the server does not go on"
        assert running.messages == []


def lines(*of: str) -> bytes:
    return "\r\n".join([*of, "", ""]).encode("latin-1")


CLOSE = "Connection: close"


def test_a_target_is_split_into_path_and_query_and_unquoted(served: Serving) -> None:
    answer = served.get("/a%20b/%C3%A9?x=%20&y")
    assert "PATH_INFO='/a b/\u00c3\u00a9'".encode("latin-1") in answer
    assert b"QUERY_STRING='x=%20&y'" in answer


def test_an_absolute_target_is_taken_for_its_path(served: Serving) -> None:
    answer = served.exchange(lines("GET http://test/path?q HTTP/1.1", "Host: test", CLOSE))
    assert b"PATH_INFO='/path'\nQUERY_STRING='q'" in answer


def test_an_asterisk_is_a_target_of_options(served: Serving) -> None:
    assert b"PATH_INFO='*'" in served.exchange(lines("OPTIONS * HTTP/1.1", "Host: test", CLOSE))


def test_fields_of_one_name_are_joined(served: Serving) -> None:
    answer = served.get("/", "X-A: 1", "x-a: 2", "Cookie: a=1", "Cookie: b=2")
    assert b"HTTP_X_A='1,2'" in answer
    assert b"HTTP_COOKIE='a=1; b=2'" in answer


def test_a_field_with_an_underscore_is_left_out(served: Serving) -> None:
    answer = served.get("/", "X_Forged: 1", "X-Good:  2 \t")
    assert b"HTTP_X_GOOD='2'" in answer
    assert b"FORGED" not in answer


def test_a_body_with_a_length_is_read(served: Serving) -> None:
    answer = served.exchange(lines("POST / HTTP/1.1", "Host: test", CLOSE, "Content-Length: 5"), b"he", b"llo")
    assert b"body=b'hello'" in answer


def test_a_chunked_body_is_read(served: Serving) -> None:
    head = lines("POST / HTTP/1.1", "Host: test", CLOSE, "Transfer-Encoding: chunked")
    answer = served.exchange(head, b"5;x=y\r\nhello\r\n", b"6\r\n world\r\n0\r\nTrailer: x\r\n\r\n")
    assert b"body=b'hello world'" in answer


def test_pipelined_requests_are_answered_in_order(served: Serving) -> None:
    requests = [
        lines(f"GET /{number} HTTP/1.1", "Host: test", *([CLOSE] if number == 9 else [])) for number in range(10)
    ]
    answer = served.exchange(b"".join(requests))
    assert answer.count(b"HTTP/1.1 200 OK") == 10
    places = [answer.index(f"PATH_INFO='/{number}'".encode()) for number in range(10)]
    assert places == sorted(places)


def test_a_request_in_single_bytes_is_read(served: Serving) -> None:
    request = lines("POST /slow HTTP/1.1", "Host: test", CLOSE, "Content-Length: 2") + b"ab"
    answer = served.exchange(*(request[place : place + 1] for place in range(len(request))))
    assert b"body=b'ab'" in answer


def test_continue_is_sent_when_the_application_reads(served: Serving) -> None:
    with served.connect() as client:
        client.sendall(lines("POST / HTTP/1.1", "Host: test", CLOSE, "Content-Length: 5", "Expect: 100-continue"))
        assert receive_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        assert b"body=b'hello'" in receive_all(client)


def test_http_1_0_is_answered_and_the_connection_closed(served: Serving) -> None:
    answer = served.exchange(lines("GET / HTTP/1.0"))
    assert b"SERVER_PROTOCOL='HTTP/1.0'" in answer
    assert b"Connection: close" in answer


def test_http_1_0_may_ask_to_keep_the_connection(served: Serving) -> None:
    with served.connect() as client:
        for _ in range(2):
            client.sendall(lines("GET / HTTP/1.0", "Connection: keep-alive"))
            assert b"Connection: keep-alive" in receive_until(client, b"body=b''")


BAD = {
    "no request": ["nonsense"],
    "an unknown method": ["BREW / HTTP/1.1", "Host: test"],
    "no host": ["GET / HTTP/1.1"],
    "two hosts": ["GET / HTTP/1.1", "Host: a", "Host: b"],
    "a target that is no path": ["GET path HTTP/1.1", "Host: test"],
    "a negative length": ["POST / HTTP/1.1", "Host: test", "Content-Length: -1"],
    "a huge length": ["POST / HTTP/1.1", "Host: test", "Content-Length: 99999999999999999999999"],
    "a length that is none": ["POST / HTTP/1.1", "Host: test", "Content-Length: 0x10"],
    "two lengths": ["POST / HTTP/1.1", "Host: test", "Content-Length: 5", "Content-Length: 6"],
    "a length with a transfer coding": [
        "POST / HTTP/1.1",
        "Host: t",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
    ],
    "a transfer coding with a length": [
        "POST / HTTP/1.1",
        "Host: t",
        "Transfer-Encoding: chunked",
        "Content-Length: 5",
    ],
    "a space before the colon": ["GET / HTTP/1.1", "Host: test", "X : 1"],
    "a field that goes on in the next line": ["GET / HTTP/1.1", "Host: test", "X: 1", "  2"],
    "a null byte in a value": ["GET / HTTP/1.1", "Host: test", "X: a\0b"],
    "a null byte in the target": ["GET /\0 HTTP/1.1", "Host: test"],
    "an upgrade with a body": ["GET / HTTP/1.1", "Host: t", "Connection: upgrade", "Upgrade: x", "Content-Length: 3"],
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_malformed_gets_400_and_the_connection_is_closed(served: Serving, what: str) -> None:
    assert status_of(served.exchange(lines(*BAD[what]))) == "400 Bad Request"


@pytest.mark.parametrize("raw", [b"GET / HTTP/1.1\nHost: test\n\n", b"GET / HTTP/1.1\r\nHost: test\nX: 1\r\n\r\n"])
def test_a_bare_line_feed_gets_400(served: Serving, raw: bytes) -> None:
    assert status_of(served.exchange(raw)) == "400 Bad Request"


@pytest.mark.parametrize(
    ("status", "head"),
    [
        ("505 HTTP Version Not Supported", ["GET / HTTP/2.0", "Host: test"]),
        ("501 Not Implemented", ["CONNECT test:1 HTTP/1.1", "Host: test"]),
        ("501 Not Implemented", ["POST / HTTP/1.1", "Host: test", "Transfer-Encoding: gzip, chunked"]),
        ("413 Content Too Large", ["POST / HTTP/1.1", "Host: test", "Content-Length: 100001"]),
        ("414 URI Too Long", ["GET /" + "a" * 1000 + " HTTP/1.1", "Host: test"]),
        ("431 Request Header Fields Too Large", ["GET / HTTP/1.1", "Host: test", *["X: 1"] * 21]),
        ("431 Request Header Fields Too Large", ["GET / HTTP/1.1", "Host: test", "X: " + "a" * 5000]),
    ],
)
def test_what_is_not_supported_or_too_large_gets_its_own_status(served: Serving, status: str, head: list[str]) -> None:
    assert status_of(served.exchange(lines(*head))) == status


def test_a_header_of_a_megabyte_is_refused_without_being_read_whole(served: Serving) -> None:
    answer = served.exchange(b"GET / HTTP/1.1\r\nHost: test\r\nX: ", *[b"a" * 65536] * 16)
    assert answer == b"" or status_of(answer) == "431 Request Header Fields Too Large"


def test_a_chunked_body_that_is_too_large_gets_413(served: Serving) -> None:
    head = lines("POST / HTTP/1.1", "Host: test", "Transfer-Encoding: chunked")
    assert status_of(served.exchange(head, *[b"10000\r\n" + b"a" * 65536 + b"\r\n"] * 2)) == "413 Content Too Large"


def test_a_malformed_chunk_gets_400(served: Serving) -> None:
    head = lines("POST / HTTP/1.1", "Host: test", "Transfer-Encoding: chunked")
    assert status_of(served.exchange(head, b"-5\r\nhello\r\n")) == "400 Bad Request"


def test_half_a_request_and_silence_gets_408(served: Serving) -> None:
    assert status_of(served.exchange(b"GET / HTTP/1.1\r\nHost: te")) == "408 Request Timeout"


def test_half_a_request_and_the_end_is_closed_without_an_answer(served: Serving) -> None:
    assert served.exchange(b"GET / HTTP/1.1\r\nHost: te", end=True) == b""


def test_a_head_that_drips_gets_408(served: Serving) -> None:
    with served.connect() as client:
        began = time.monotonic()
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nX: ")
        try:
            while time.monotonic() - began < 10.0:
                client.sendall(b"a")
                time.sleep(0.1)
        except ConnectionError:
            pass
        assert time.monotonic() - began < 10.0


def test_a_body_that_stops_coming_ends_the_connection(served: Serving) -> None:
    answer = served.exchange(lines("POST / HTTP/1.1", "Host: test", "Content-Length: 10"), b"hello")
    assert answer == b""


def test_a_good_request_before_a_malformed_one_is_answered(served: Serving) -> None:
    answer = served.exchange(lines("GET /good HTTP/1.1", "Host: test") + b"nonsense\r\n\r\n")
    assert status_of(answer) == "200 OK"
    assert b"400 Bad Request" in answer


def test_the_server_stays_upright_under_a_thousand_resets(served: Serving) -> None:
    for number in range(1000):
        client = served.connect()
        client.sendall(lines("GET / HTTP/1.1", "Host: test")[: number % 40])
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    assert body_of(served.get()).endswith(b"body=b''")
