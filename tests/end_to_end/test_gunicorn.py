"""gunicorn, unmodified, with the workers that are made for gevent and with the one that has threads.

Each answer of the application waits until MANY requests are there at the same time: if they did not overlap, none would
be answered.
"""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import servers
from tests.support.children import ROOT
from tests.support.scale import patience

MANY = 20

APPLICATION = f"""
import os, threading
together = threading.Barrier({MANY}, timeout=30)

def application(environ, start_response):
    together.wait()
    native_threads = [name for name in os.listdir('/proc/self/task')]
    body = f"{{environ['PATH_INFO']}} {{os.getpid()}} {{len(native_threads)}}".encode()
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))])
    return [body]
"""


@contextlib.contextmanager
def gunicorn(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """gunicorn under `gossamer run`, and the port that it listens on. words: what comes before its own."""
    (folder / "service.py").write_text(APPLICATION)
    port = servers.free_port()
    log = folder / "log"
    command = [sys.executable, "-m", "gossamer", "run", *words, "--bind", f"127.0.0.1:{port}", "service:application"]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=output,
            stderr=output,
            env={**os.environ, "HOME": str(folder), "PYTHONPATH": path},
            start_new_session=True,
        )
    try:
        servers.wait_until(lambda: servers.answers(process, port, log), f"gunicorn does not answer; see {log}")
        yield process, port
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


WORKERS = {
    "gevent": ("--as-gevent", "-m", "gunicorn", "--worker-class", "gevent"),
    "gevent_pywsgi": ("--as-gevent", "-m", "gunicorn", "--worker-class", "gevent_pywsgi", "--access-logfile", "-"),
    "gthread": ("-m", "gunicorn", "--worker-class", "gthread", "--threads", str(MANY)),
}


@pytest.mark.parametrize("words", WORKERS.values(), ids=WORKERS.keys())
def test_requests_overlap_in_one_os_thread_of_a_worker_that_ends_when_it_is_told_to(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    with gunicorn(tmp_path, *words) as (process, port):

        def ask(number: int) -> tuple[str, ...]:
            url = f"http://127.0.0.1:{port}/{number}"
            with urllib.request.urlopen(url, timeout=patience(60)) as answer:
                return tuple(answer.read().decode().split())

        with ThreadPoolExecutor(MANY) as clients:
            answers = list(clients.map(ask, range(MANY)))
        assert [path for path, _, _ in answers] == [f"/{number}" for number in range(MANY)]
        assert len({worker for _, worker, _ in answers}) == 1
        assert {native_threads for _, _, native_threads in answers} == {"1"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(patience(30)) == 0, (tmp_path / "log").read_text()
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log, log
