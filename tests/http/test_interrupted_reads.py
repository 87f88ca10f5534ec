"""Reading a body is interrupted: by a Timeout of the application's, by a kill, by what is wrong with the body.

The client sends the second half when it is told that the first one has been read, and that the wait for more has been
ended.
"""

import pytest

from tests.http.serving import answers, read_all, read_until, serving

APPLICATION = """
from gossamer import Timeout

def application(environ, start_response):
    body = environ['wsgi.input']
    write = start_response('200 OK', [])
    begun = body.read(1)  # so that the first half is there
    for _ in range(3):
        with Timeout(0.05, False):
            body.{method}
            raise AssertionError('nothing was waited for')
    write(b'interrupted')
    rest = body.{method}
    return [begun, rest if isinstance(rest, bytes) else b''.join(rest), body.read(), b'.']
"""

HALVES = {
    "length": (b"Content-Length: 16\r\n\r\n", b"abc\ndefg", b"hij\nklmn"),
    "chunks": (b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nabc\nd\r\n3\r\nefg\r\n", b"8\r\nhij\nklmn\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("method", ["read()", "read(15)", "readlines()"])
@pytest.mark.parametrize("framing", HALVES)
def test_what_an_interrupted_read_has_taken_is_read_by_the_next_one(method: str, framing: str) -> None:
    framed, first, second = HALVES[framing]
    with serving(APPLICATION.format(method=method)) as server, server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + framed + first)
        head = read_until(client, b"interrupted")
        client.sendall(second)
        answer = answers(head + read_all(client))[0]
        assert answer.body == b"interrupted" + b"abc\ndefghij\nklmn."


@pytest.mark.parametrize("framing", HALVES)
def test_half_a_line_that_was_read_is_not_lost(framing: str) -> None:
    framed, first, second = HALVES[framing]
    source = APPLICATION.replace("body.read(1)", "body.read(4)").format(method="readline()")
    with serving(source) as server, server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + framed + first)
        head = read_until(client, b"interrupted")
        client.sendall(second)
        answer = answers(head + read_all(client))[0]
        assert answer.body == b"interrupted" + b"abc\ndefghij\nklmn."


def test_nothing_is_taken_for_a_buffer_that_cannot_be_written() -> None:
    source = """
    def application(environ, start_response):
        body = environ['wsgi.input']
        try:
            body.readinto(b'cannot be written')
        except TypeError as error:
            start_response('200 OK', [])
            return [body.read(), b' ', str(error).encode()]
    """
    with serving(source) as server:
        reply = server.ask(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
        assert answers(reply)[0].body.startswith(b"hello ")


@pytest.mark.parametrize(
    ("body", "status"), [(b"5\r\nhelloX\r\n0\r\n\r\n", 400), (b"5\r\nhello\r\n5\r\nagain\r\n0\r\n\r\n", 413)]
)
def test_a_spoiled_body_stays_spoiled(body: bytes, status: int) -> None:
    source = """
    def application(environ, start_response):
        body = environ['wsgi.input']
        seen = []
        for _ in range(3):
            try:
                body.read()
            except RequestBodyError as error:
                seen.append((error.status, str(error)))
        start_response('200 OK', [])
        return [repr((seen[0][0], len(seen), len(set(seen)))).encode()]
    """
    with serving(source, "limits=Limits(body=6)") as server:
        reply = server.ask(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        answer = answers(reply)[0]
        assert answer.body.decode() == repr((status, 3, 1))
        assert answer.headers["connection"] == "close"
