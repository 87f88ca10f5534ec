"""`gossamer serve` in surroundings that somebody has spoiled: closed and full streams, no folder, no descriptors."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.launching import MODULE
from tests.support.scale import patience
from tests.support.waiting import eventually

HELLO = """
import sys

def app(environ, start_response):
    if environ['PATH_INFO'] == '/fails':
        raise ValueError('of the application')
    if environ['PATH_INFO'] == '/waits':
        sys.stdin.readline()
    start_response('200 OK', [])
    return [b'hello']
"""


@pytest.fixture(autouse=True)
def hello(folder: Path) -> None:
    (folder / "hello.py").write_text(HELLO)
    (folder / "broken.py").write_text("raise OSError('of the disk')\n")


def status_of(path: str) -> int:
    """The status of the answer to a GET from the server on a Unix socket; 0 if there is no answer."""
    client = http.client.HTTPConnection("localhost")
    client.sock = socket.socket(socket.AF_UNIX)
    with contextlib.closing(client), contextlib.suppress(OSError):
        client.sock.settimeout(patience(30))
        client.sock.connect("socket")
        client.request("GET", path)
        return client.getresponse().status
    return 0


def spoiled(streams: str, *words: str) -> "subprocess.Popen[str]":
    """`gossamer serve WORDS` with what the shell is told of its streams."""
    command = [*MODULE, "serve", "--bind", "unix:socket", *words]
    return subprocess.Popen(["sh", "-c", f'exec "$@" {streams}', "sh", *command], text=True, start_new_session=True)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("streams", [">/dev/full", "2>/dev/full", ">/dev/full 2>&1", ">&- 2>&-", "<&- >&- 2>&-"])
def test_it_serves_although_nothing_can_be_written(streams: str, workers: str) -> None:
    with spoiled(streams, "--access-log", "--workers", workers, "hello:app") as process:
        try:
            assert eventually(lambda: status_of("/") == 200)
            assert [status_of(path) for path in ("/fails", "/", "/fails", "/")] == [500, 200, 500, 200]
            process.terminate()
            assert process.wait(patience(30)) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("streams", [">&- 2>&-", "2>/dev/full"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_cannot_start_has_status_2_although_that_cannot_be_said(streams: str, workers: str) -> None:
    with spoiled(streams, "--workers", workers, "broken:app") as process:
        assert process.wait(patience(30)) == 2


def test_a_folder_that_is_gone_is_said_on_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    source = f"""if True:
        import os
        from gossamer.cli import main, serve  # 3.13.0 itself cannot import socket where there is no folder
        os.chdir({str(gone)!r})
        os.rmdir({str(gone)!r})
        raise SystemExit(main(['serve', '--bind', '127.0.0.1:0', 'hello:app']))
    """
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith("gossamer serve: cannot find the current folder: "), ended.stderr
    assert ended.stderr.count("\n") == 1


def test_with_safe_paths_it_is_said_why_a_module_is_not_found() -> None:
    command = [sys.executable, "-P", "-m", "gossamer", "serve", "--bind", "unix:socket", "hello:app"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "not in the current folder (python -P, or PYTHONSAFEPATH)" in ended.stderr


def test_an_address_that_the_output_cannot_show_is_escaped() -> None:
    command = [*MODULE, "serve", "--bind", "unix:h\xe9", "hello:app"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "gossamer: serving hello:app on unix:h\\xe9 (Ctrl-C stops it)\n"
        process.terminate()
        assert process.wait(patience(30)) == 0


def test_the_next_server_may_take_over_the_unix_socket_while_the_last_request_is_finished() -> None:
    command = [*MODULE, "serve", "--bind", "unix:socket", "hello:app"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as first:  # type: ignore[call-overload]
        assert first.stdout.readline()
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(patience(30))
        client.connect("socket")
        client.sendall(b"GET /waits HTTP/1.1\r\nHost: a\r\n\r\n")
        assert status_of("/") == 200  # accepted behind that one
        first.terminate()
        assert eventually(is_refused)
        with subprocess.Popen(command, **pipes) as second:  # type: ignore[call-overload]
            assert second.stdout.readline()
            first.stdin.write("go on\n")
            first.stdin.flush()
            with client:
                assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
            assert first.wait(patience(30)) == 0
            assert status_of("/") == 200
            second.terminate()
            assert second.wait(patience(30)) == 0
    assert not Path("socket").exists()


def is_refused() -> bool:
    """Whether nobody listens on the socket any more."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect("socket")
        except OSError:
            return True
    return False
