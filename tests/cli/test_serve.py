"""`gossamer serve` as a user meets it: started as a process, asked over the network, stopped by signals."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.launching import MODULE
from tests.support.children import run_command
from tests.support.scale import patience
from tests.support.waiting import eventually

HELLO = """
import os, socket, threading, time

def app(environ, start_response):
    if environ['PATH_INFO'] == '/slow':
        open('slow', 'w').close()
        time.sleep(0.5)
    if environ['PATH_INFO'] == '/endless':
        open('endless', 'w').close()
        time.sleep(600)
    if environ['PATH_INFO'] == '/running':
        start_response('200 OK', [])
        return [repr(environ['gossamer.server'].stats()['slow_requests']).encode()]
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [f"{environ['PATH_INFO']} {os.getpid()} {environ['wsgi.multiprocess']}".encode()]

def create_app(greeting='hello'):
    def application(environ, start_response):
        start_response('200 OK', [])
        return [greeting.encode()]
    return application
"""


@pytest.fixture(autouse=True)
def hello(folder: Path) -> None:
    (folder / "hello.py").write_text(HELLO)
    (folder / "broken.py").write_text("raise OSError('the disk is full')\n")


class Served:
    """A running `gossamer serve`."""

    def __init__(self, process: subprocess.Popen[Any], *urls: str) -> None:
        self.process = process
        self.urls = urls

    def get(self, path: str = "/", at: int = 0) -> tuple[int, str]:
        """Status and body of a GET. at: which of the addresses is asked."""
        url = self.urls[at]
        if url.startswith("unix:"):
            client = http.client.HTTPConnection("localhost", timeout=patience(30))
            client.sock = socket.socket(socket.AF_UNIX)
            client.sock.connect(url.removeprefix("unix:"))
        else:
            host, port = url.removeprefix("http://").rstrip("/").split(":")
            client = http.client.HTTPConnection(host, int(port), timeout=patience(30))
        with contextlib.closing(client):
            client.request("GET", path)
            response = client.getresponse()
            return response.status, response.read().decode()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(patience(30))


@contextlib.contextmanager
def serve(*words: str, bind: str = "127.0.0.1:0") -> Iterator[Served]:
    """Start `gossamer serve WORDS` and wait until it says where it is. bind: one address, or several with spaces."""
    command = [*MODULE, "serve", *(word for address in bind.split() for word in ("--bind", address)), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"serving .+ on (.+?) (?:with|\()", line)
            assert found is not None, line
            yield Served(process, *found[1].split(", "))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_an_application_is_served_on_a_free_port() -> None:
    with serve("hello:app") as served:
        status, body = served.get("/path")
        assert (status, body.split()[0], body.split()[2]) == (200, "/path", "False")


def test_a_factory_makes_the_application() -> None:
    with serve("hello:create_app('good day')") as served:
        assert served.get() == (200, "good day")


def test_a_unix_socket_is_served_and_its_file_taken_away(folder: Path) -> None:
    with serve("hello:app", bind="unix:socket") as served:
        assert served.get()[0] == 200
        assert served.stop() == 0
    assert not (folder / "socket").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_several_addresses_are_served(folder: Path, workers: str) -> None:
    with serve("--workers", workers, "hello:app", bind="127.0.0.1:0 unix:one 127.0.0.1:0 unix:two") as served:
        assert len(set(served.urls)) == 4
        for _ in range(3):
            assert [served.get("/path", at)[1].split()[0] for at in range(4)] == ["/path"] * 4
        assert served.stop() == 0
    assert not (folder / "one").exists() and not (folder / "two").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_one_address_of_several_that_is_in_use_is_named_and_none_served(folder: Path, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        binds = ["--bind", "unix:one", "--bind", f"127.0.0.1:{port}", "--bind", "127.0.0.1:0"]
        ended = run_command([*MODULE, "serve", *binds, "--workers", workers, "hello:app"])
    assert ended.status == 2, ended.describe()
    assert f"cannot listen on 127.0.0.1:{port}: it is in use" in ended.err
    assert not (folder / "one").exists()


def test_an_address_that_another_one_holds_already_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    ended = run_command([*MODULE, "serve", "--bind", f"0.0.0.0:{port}", "--bind", f"127.0.0.1:{port}", "hello:app"])
    assert ended.status == 2, ended.describe()
    assert f"cannot listen on 127.0.0.1:{port}: it is in use" in ended.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0(number: signal.Signals) -> None:
    with serve("hello:app") as served:
        assert served.get()[0] == 200
        assert served.stop(number) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_who_is_stopped_on_its_first_line_ends_with_status_0(workers: str) -> None:
    with serve("--workers", workers, "hello:app") as served:
        assert served.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_stopped_before_serving_ends_with_status_0(folder: Path, number: signal.Signals, workers: str) -> None:
    (folder / "slow.py").write_text("import time\nopen('began', 'w').close()\ntime.sleep(600)\n")
    command = [*MODULE, "serve", "--bind", "unix:socket", "--workers", workers, "slow:app"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        while not (folder / "began").exists():
            time.sleep(0.01)
        os.killpg(process.pid, number)
        assert process.communicate(timeout=patience(30)) == (b"", b"")
    assert process.returncode == 0
    assert not (folder / "socket").exists()


def test_a_worker_that_is_told_twice_before_it_serves_tidies_up_once_and_ends(folder: Path) -> None:
    (folder / "slow.py").write_text(
        "import os, signal, time\n"
        "try:\n"
        "    open('began', 'w').close()\n"
        "    time.sleep(600)\n"
        "finally:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    open('tidied', 'w').close()\n"
    )
    assert ended_when_it_began(folder) == (0, b"", b"")
    assert (folder / "tidied").exists()


def test_a_worker_whose_application_swallows_the_signal_ends_when_it_is_to_serve(folder: Path) -> None:
    (folder / "slow.py").write_text(
        "import time\n"
        "try:\n"
        "    open('began', 'w').close()\n"
        "    time.sleep(600)\n"
        "except KeyboardInterrupt:\n"
        "    app = print\n"
    )
    assert ended_when_it_began(folder) == (0, b"", b"")


def ended_when_it_began(folder: Path) -> tuple[int, bytes, bytes]:
    """Status and output of two workers that are told to end when slow.py in the folder has made the file `began`."""
    command = [*MODULE, "serve", "--bind", "unix:socket", "--workers", "2", "--grace", "600", "slow:app"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        while not (folder / "began").exists():
            time.sleep(0.01)
        process.terminate()
        out, err = process.communicate(timeout=patience(30))
    return process.returncode, out, err


@pytest.mark.parametrize("words", [[], ["--access-log"]])
def test_it_serves_although_nobody_reads_its_output(words: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    reading, writing = os.pipe()
    os.close(reading)
    command = [*MODULE, "serve", "--bind", f"127.0.0.1:{port}", *words, "hello:app"]
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        served = Served(process, f"http://127.0.0.1:{port}/")
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                assert served.get()[0] == 200
                break
            time.sleep(0.05)
        assert served.stop() == 0
        assert process.communicate()[1] == b""


def test_nothing_is_announced_before_the_server_is_there(folder: Path) -> None:
    (folder / "spoiler.py").write_text("import sys\nsys.modules['gossamer.http.server'] = None\napp = print\n")
    ended = run_command([*MODULE, "serve", "--bind", "127.0.0.1:0", "spoiler:app"])
    assert ended.status != 0
    assert ended.out == ""


def test_a_second_signal_ends_at_once_what_is_under_way() -> None:
    with serve("hello:app", "--grace", "600") as served:
        client = threading.Thread(target=ignore_errors, args=[served])
        client.start()
        while "/endless" not in served.get("/running")[1]:
            time.sleep(0.01)
        served.process.send_signal(signal.SIGINT)
        wait_until_refused(served)
        assert served.stop(signal.SIGINT) == 0
        client.join()


def test_what_is_under_way_is_finished_before_the_end(folder: Path) -> None:
    with serve("hello:app") as served:
        answers: list[tuple[int, str]] = []
        client = threading.Thread(target=lambda: answers.append(served.get("/slow")))
        client.start()
        assert eventually((folder / "slow").exists)
        assert served.stop() == 0
        client.join()
        assert answers[0][0] == 200


def test_what_takes_longer_than_the_grace_period_is_given_up(folder: Path) -> None:
    with serve("hello:app", "--grace", "0.3") as served:
        client = threading.Thread(target=ignore_errors, args=[served])
        client.start()
        assert eventually((folder / "endless").exists)
        assert served.stop() == 0
        client.join()


def wait_until_refused(served: Served) -> None:
    """Ask until no connection is accepted any more."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        while True:
            served.get()


def ignore_errors(served: Served) -> None:
    """Ask for what never comes."""
    with contextlib.suppress(http.client.HTTPException, OSError):
        served.get("/endless")


def test_a_request_over_its_time_gets_503() -> None:
    with serve("hello:app", "--timeout", "0.3") as served:
        assert served.get("/endless")[0] == 503
        assert served.get("/")[0] == 200


def test_the_access_log_has_a_line_for_each_response() -> None:
    with serve("hello:app", "--access-log") as served:
        served.get("/a%22b?c")
        assert served.process.stdout is not None
        line = served.process.stdout.readline()
        assert re.fullmatch(r'127\.0\.0\.1 - - \[.*\] "GET /a%22b\?c HTTP/1\.1" 200 \d+ "-" "-" 0\.\d+\n', line)


def test_limits_are_options() -> None:
    with serve("hello:app", "--limit", "request_line=100", "--limit", "idle=none") as served:
        assert served.get("/" + "a" * 50)[0] == 200
        assert served.get("/" + "a" * 200)[0] == 414


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("heads=5", "there is no 'heads', but request_line, head, "),
        ("head", "'head' is not NAME=VALUE, such as head=100 or head=none"),
        ("head=", "head must be a number or 'none', not ''"),
        ("head=none", "head must be a whole number, more than 0, not None"),
        ("stall=-1", "stall must be a number, more than 0, or None, not -1"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(limit: str, reason: str) -> None:
    ended = run_command([*MODULE, "serve", "--limit", limit, "hello:app"])
    assert ended.status == 2
    assert f"argument --limit: {reason}" in ended.err


def test_workers_are_processes_that_share_the_port() -> None:
    with serve("hello:app", "--workers", "2") as served:
        seen: set[str] = set()
        deadline = time.monotonic() + patience(30)
        while len(seen) < 2 and time.monotonic() < deadline:
            _, body = served.get()
            assert body.split()[2] == "True"
            seen.add(body.split()[1])
        assert len(seen) == 2
        assert str(served.process.pid) not in seen
        assert served.stop() == 0


def test_the_parent_of_workers_may_be_stopped_and_continued_while_they_start() -> None:
    command = [*MODULE, "serve", "--bind", "127.0.0.1:0", "--workers", "2", "hello:app"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        for _ in range(10):
            time.sleep(0.05)
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.1)
            process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        assert "serving" in process.stdout.readline()
        process.terminate()
        assert process.wait(patience(30)) == 0


def test_a_worker_that_dies_is_replaced() -> None:
    with serve("hello:app", "--workers", "2", bind="unix:socket") as served:
        victim = served.get()[1].split()[1]
        os.kill(int(victim), signal.SIGKILL)
        deadline = time.monotonic() + patience(30)
        seen: set[str] = set()
        while len(seen - {victim}) < 2 and time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                seen.add(served.get()[1].split()[1])
        assert len(seen - {victim}) == 2
        assert served.stop() == 0


def test_workers_end_when_their_parent_is_killed() -> None:
    with serve("hello:app", "--workers", "2") as served:
        worker = int(served.get()[1].split()[1])
        served.process.kill()
        served.process.wait()
        deadline = time.monotonic() + patience(30)
        while Path(f"/proc/{worker}/stat").exists() and time.monotonic() < deadline:
            if Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                break
            time.sleep(0.05)
        else:
            assert not Path(f"/proc/{worker}").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("hello", "'hello' is not MODULE:APP"),
        ("helo:app", "there is no module 'helo'"),
        ("hello:application", "has no attribute 'application'; there is app and create_app()"),
        ("broken:app", "importing 'broken' failed: OSError: the disk is full"),
    ],
)
def test_what_cannot_be_served_is_said_on_one_line_with_status_2(target: str, reason: str, workers: str) -> None:
    ended = run_command([*MODULE, "serve", "--bind", "127.0.0.1:0", "--workers", workers, target])
    assert (ended.status, ended.out) == (2, ""), ended.describe()
    lines = set(ended.err.splitlines())
    assert len(lines) == 1, ended.describe()
    assert reason in lines.pop()


def test_verbose_shows_where_the_application_fails() -> None:
    ended = run_command([*MODULE, "serve", "--bind", "127.0.0.1:0", "--verbose", "broken:app"])
    assert ended.status == 2
    assert "raise OSError('the disk is full')" in ended.err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_said_on_one_line_with_status_2(workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = run_command([*MODULE, "serve", "--bind", f"127.0.0.1:{port}", "--workers", workers, "hello:app"])
    assert ended.status == 2, ended.describe()
    assert f"cannot listen on 127.0.0.1:{port}: it is in use" in ended.err


@pytest.mark.parametrize("words", [["--workers", "0"], ["--workers", "x"], ["--timeout", "-1"], ["--timeout", "nan"]])
def test_numbers_that_make_no_sense_are_refused(words: list[str]) -> None:
    ended = run_command([*MODULE, "serve", *words, "hello:app"])
    assert ended.status == 2
    assert "number greater than 0" in ended.err


def test_half_a_worker_is_refused() -> None:
    ended = run_command([*MODULE, "serve", "--workers", "1.5", "hello:app"])
    assert ended.status == 2
    assert "'1.5' is not a whole number greater than 0" in ended.err


def test_the_limit_of_open_files_is_raised(folder: Path) -> None:
    (folder / "limits.py").write_text(
        "import resource\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(resource.getrlimit(resource.RLIMIT_NOFILE)).encode()]\n"
    )
    with serve("limits:app") as served:
        soft, hard = served.get()[1].strip("()").split(", ")
        assert soft == hard
