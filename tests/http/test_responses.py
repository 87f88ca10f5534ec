"""What applications may answer, and what the server makes of it (PEP 3333)."""

import io
import os
import socket
import time
import wsgiref.util
import wsgiref.validate
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gossamer import _core
from gossamer.http.limits import Limits
from tests.http.serving import body_of, receive_all, serving, status_of

Application = Callable[[dict[str, Any], Any], Any]


def answering(
    body: Callable[[], Any], status: str = "200 OK", headers: list[tuple[str, str]] | None = None
) -> Application:
    """An application that answers with what `body` makes."""

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(status, headers or [])
        return body()

    return application


def response_to(
    application: Application, *headers: str, method: str = "GET", version: str = "1.1"
) -> tuple[bytes, list[str]]:
    """The response to one request, and what the server logged."""
    request = "\r\n".join([f"{method} / HTTP/{version}", "Host: test", "Connection: close", *headers, "", ""])
    with serving(application) as served:
        return served.exchange(request.encode()), served.messages


def test_a_validated_application_finds_nothing_to_complain_of() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        wsgiref.util.setup_testing_defaults({})
        assert environ["wsgi.input"].read(3) == b"abc"
        assert environ["wsgi.input"].readline() == b"d\n"
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"one", b"two"]

    with serving(wsgiref.validate.validator(application)) as served:
        answer = served.exchange(b"POST / HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcd\n")
        assert status_of(answer) == "200 OK"
        assert served.messages == []


def test_a_single_part_is_sent_with_its_length() -> None:
    answer, _ = response_to(answering(lambda: [b"hello"]))
    assert b"Content-Length: 5\r\n" in answer
    assert body_of(answer) == b"hello"


def test_several_parts_are_chunked() -> None:
    answer, _ = response_to(answering(lambda: iter([b"hello", b"", b" world"])))
    assert b"Transfer-Encoding: chunked" in answer
    assert body_of(answer) == b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"


def test_several_parts_end_with_the_connection_for_http_1_0() -> None:
    answer, _ = response_to(answering(lambda: iter([b"hello", b" world"])), version="1.0")
    assert b"chunked" not in answer
    assert body_of(answer) == b"hello world"


def test_no_parts_are_an_empty_body() -> None:
    answer, _ = response_to(answering(list))
    assert b"Content-Length: 0" in answer


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_some_statuses_have_no_body(status: str) -> None:
    answer, _ = response_to(answering(lambda: [b"unwanted"], status))
    assert status_of(answer) == status
    assert body_of(answer) == b""
    assert b"Content-Length" not in answer


def test_head_is_answered_without_the_body() -> None:
    answer, messages = response_to(answering(lambda: [b"hello"], headers=[("Content-Length", "5")]), method="HEAD")
    assert b"Content-Length: 5" in answer
    assert body_of(answer) == b""
    assert messages == []


def test_what_write_is_given_comes_before_what_is_returned() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        write = start_response("200 OK", [("Content-Length", "10")])
        write(b"first")
        return [b" last"]

    assert body_of(response_to(application)[0]) == b"first last"


def test_date_and_server_are_sent_unless_the_application_does() -> None:
    answer, _ = response_to(answering(list))
    assert b"\r\nServer: gossamer\r\n" in answer
    assert b" GMT\r\n" in answer
    answer, _ = response_to(answering(list, headers=[("Server", "own"), ("Date", "today")]))
    assert answer.count(b"Server:") == answer.count(b"Date:") == 1


def test_the_returned_object_is_closed() -> None:
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"x"

        def close(self) -> None:
            closed.append(True)

    response_to(answering(Body))
    assert closed == [True]


def test_a_file_is_sent_by_the_file_wrapper(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"]((tmp_path / "file").open("rb"))

    answer, messages = response_to(application)
    assert b"Content-Length: 3000000" in answer
    assert body_of(answer) == content
    assert messages == []


def test_what_is_no_real_file_is_sent_by_the_file_wrapper_too() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "5")])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"hello"))

    assert body_of(response_to(application)[0]) == b"hello"


def test_an_error_is_logged_with_its_traceback_and_answered_with_500() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        raise LookupError("no such thing")

    answer, messages = response_to(application)
    assert status_of(answer) == "500 Internal Server Error"
    assert "LookupError: no such thing" in messages[0]
    assert "in application" in messages[0]


def test_an_error_in_the_middle_of_a_body_breaks_it_off() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        yield b"begun"
        raise LookupError("no such thing")

    answer, messages = response_to(application)
    assert body_of(answer) == b"5\r\nbegun\r\n"
    assert "LookupError" in messages[0]


def test_an_application_may_replace_its_response_until_it_is_sent() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("X-First", "1")])
        try:
            raise ValueError
        except ValueError as error:
            start_response("418 I'm a teapot", [], (type(error), error, error.__traceback__))
        return [b"tea"]

    answer, _ = response_to(application)
    assert status_of(answer) == "418 I'm a teapot"
    assert b"X-First" not in answer


BROKEN: dict[str, tuple[Application, str]] = {
    "no start_response": (lambda environ, start_response: [b""], "did not call start_response"),
    "two calls": (lambda environ, start: [start("200 OK", []), start("200 OK", [])], "called twice"),
    "text for bytes": (answering(lambda: ["text"]), "a body consists of bytes, not str"),
    "a status that is none": (answering(list, "fine"), "three digits"),
    "a line end in a status": (answering(list, "200 OK\r\nX: 1"), "control characters"),
    "a line end in a value": (answering(list, headers=[("X", "1\r\nY: 2")]), "line ends"),
    "a name that is none": (answering(list, headers=[("X Y", "1")]), "is not a name of a header field"),
    "a field of the server's": (answering(list, headers=[("Connection", "close")]), "is the server's to send"),
    "a number for a value": (answering(list, headers=[("X", 1)]), "must be str"),  # type: ignore[list-item]
    "headers in a tuple": (lambda environ, start: [start("200 OK", ())], "headers must be a list"),
    "a length that is none": (answering(list, headers=[("Content-Length", "many")]), "must be a number"),
    "characters that cannot be sent": (answering(list, headers=[("X", "\u20ac")]), "ISO-8859-1"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_pep_3333_forbids_is_logged_and_answered_with_500(what: str) -> None:
    application, reason = BROKEN[what]
    answer, messages = response_to(application)
    assert status_of(answer) == "500 Internal Server Error"
    assert reason in messages[0]


def test_a_body_that_is_too_short_closes_the_connection_and_is_logged() -> None:
    answer, messages = response_to(answering(lambda: [b"hello"], headers=[("Content-Length", "10")]))
    assert body_of(answer) == b"hello"
    assert "5 bytes shorter than its Content-Length" in messages[0]


def test_a_body_that_is_too_long_is_not_sent_beyond_its_length() -> None:
    answer, messages = response_to(answering(lambda: [b"hello", b"more"], headers=[("Content-Length", "5")]))
    assert body_of(answer) == b"hello"
    assert "longer than its Content-Length" in messages[0]


def test_an_unread_body_is_out_of_the_way_of_the_next_request() -> None:
    request = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n%s\r\nhello"
    with serving(answering(lambda: [b"ok"])) as served:
        answer = served.exchange(request % b"", request % b"Connection: close\r\n")
    assert answer.count(b"200 OK") == 2


def test_a_request_over_its_time_gets_503_and_the_others_go_on() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/slow":
            time.sleep(30)
        start_response("200 OK", [])
        return [b"done"]

    with serving(application, timeout=0.3) as served:
        slow = _core.spawn(served.get, "/slow")
        assert status_of(served.get("/")) == "200 OK"
        slow.join()
        assert status_of(slow.value) == "503 Service Unavailable"
        assert "GET /slow took longer than 0.3 seconds" in served.messages[0]


def test_a_client_that_never_reads_is_given_up() -> None:
    ended = []

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        try:
            for _ in range(1000):
                yield b"x" * 1_000_000
        finally:
            ended.append(environ["PATH_INFO"])

    with serving(application, limits=Limits(stall=0.3)) as served:
        client = served.connect()
        client.sendall(b"GET /never HTTP/1.1\r\nHost: t\r\n\r\n")
        deadline = time.monotonic() + 20
        while not ended and time.monotonic() < deadline:
            time.sleep(0.05)
        client.close()
        assert ended == ["/never"]


def test_a_reset_in_the_middle_of_a_response_is_nobodys_error() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        for _ in range(200):
            yield b"x" * 100_000

    with serving(application) as served:
        client = served.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        client.recv(1000)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        while served.server.connections:
            time.sleep(0.01)
        assert served.messages == []


def test_requests_are_served_at_the_same_time() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        time.sleep(0.5)
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]

    with serving(application) as served:
        began = time.monotonic()
        clients = [_core.spawn(served.get, f"/{number}") for number in range(200)]
        for client in clients:
            client.join()
        assert [body_of(client.value) for client in clients] == [b"/%d" % number for number in range(200)]
        assert time.monotonic() - began < 50.0


def test_stopping_lets_what_is_under_way_finish_and_closes_idle_connections() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        time.sleep(0.3)
        start_response("200 OK", [])
        return [b"finished"]

    with serving(application) as served:
        idle = served.connect()
        busy = served.connect()
        busy.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        while not served.server.active:
            time.sleep(0.01)
        served.server.stop(grace=10)
        assert receive_all(idle) == b""
        answer = receive_all(busy)
        assert body_of(answer) == b"finished"
        with pytest.raises(ConnectionRefusedError):
            served.connect()
        idle.close()
        busy.close()


def test_the_figures_tell_what_the_server_does() -> None:
    seen = []

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        seen.append(environ["gossamer.server"].stats())
        start_response("200 OK", [])
        return []

    with serving(application) as served:
        served.get("/first")
        served.get("/second")
    assert [figures["total_requests"] for figures in seen] == [0, 1]
    assert seen[1]["active_requests"] == 1
    assert [request["path"] for request in seen[1]["slow_requests"]] == ["/second"]
