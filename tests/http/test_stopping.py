"""A server is stopped while a response is under way that has begun, and does not say that it is the last one."""

from pathlib import Path

from tests.http.serving import answers, read_all, read_until, serving
from tests.support.children import output_of

APPLICATION = """
import os

def application(environ, start_response):
    write = start_response('200 OK', [])
    write(b'first ')
    if environ['PATH_INFO'] == '/stop':
        _core.spawn(server.stop, 600)
        while listener.fileno() >= 0 or not os.path.exists({go_on!r}):
            _core.sleep(0.001)
    return [b'second']
"""
GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_connection_whose_response_had_begun_does_not_keep_the_server() -> None:
    with serving(APPLICATION.format(go_on="/")) as server, server.connect() as client:
        client.sendall(GET % b"stop")
        assert answers(read_all(client))[0].body == b"first second"
        server.end()


def test_a_request_that_came_behind_such_a_response_is_answered(tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    with serving(APPLICATION.format(go_on=str(go_on))) as server, server.connect() as client:
        client.sendall(GET % b"stop")
        head = read_until(client, b"first ")
        client.sendall(GET % b"another")
        go_on.touch()
        first, second = answers(head + read_all(client))
        assert (first.body, second.body) == (b"first second", b"first second")
        assert second.headers["connection"] == "close"
        server.end()


def test_a_server_that_was_stopped_before_it_started_has_ended() -> None:
    output_of("""
    import socket
    from gossamer.http import Server

    server = Server(lambda *_: [], [socket.create_server(("127.0.0.1", 0))])
    server.stop(0)
    server.serve_forever()
    """)
