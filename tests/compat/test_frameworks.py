"""Frameworks that start gevent's server by themselves, unmodified, under the alias."""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.children import output_of
from tests.support.scale import patience
from tests.support.servers import free_port, wait_until

BOTTLE = """
import gevent.monkey
gevent.monkey.patch_all()
import sys, threading, time
import bottle

everybody = threading.Barrier(10)

@bottle.route('/alive')
def alive():
    return 'alive'

@bottle.route('/meet/<n>')
def meet(n):
    everybody.wait(60)  # each request needs the others
    return bottle.request.path

bottle.run(server='gevent', host='127.0.0.1', port=int(sys.argv[1]), quiet=True)
"""

SOCKET_IO = """
import gevent.monkey
gevent.monkey.patch_all()
import sys, threading
import flask, flask_socketio

app = flask.Flask(__name__)
io = flask_socketio.SocketIO(app)
everybody = threading.Barrier(10)

@app.route('/alive')
def alive():
    return io.async_mode

@app.route('/meet/<n>')
def meet(n):
    everybody.wait(60)
    return flask.request.path

io.run(app, '127.0.0.1', int(sys.argv[1]), log_output=False)
"""

CLIENTS = """
import sys, threading, urllib.request
bodies = []
def ask(n):
    bodies.append(urllib.request.urlopen(f'{sys.argv[1]}/meet/{n}').read().decode())
threads = [threading.Thread(target=ask, args=[n]) for n in range(10)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*sorted(bodies))
"""


@contextlib.contextmanager
def running(folder: Path, program: str) -> Iterator[str]:
    """`program`, run as for gevent with a free port as its argument; its address, once it answers."""
    (folder / "program.py").write_text(program)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "gossamer", "run", "--as-gevent", "program.py", str(port)]
    with subprocess.Popen(command, cwd=folder, start_new_session=True) as process:
        try:
            wait_until(lambda: process.poll() is None and body_of(f"{address}/alive") != "", "it does not answer")
            yield address
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def body_of(url: str) -> str:
    """The page, empty while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=patience(30)) as answer:
            body: bytes = answer.read()
    except OSError:
        return ""
    return body.decode()


@pytest.mark.parametrize(("program", "alive"), [(BOTTLE, "alive"), (SOCKET_IO, "gevent")], ids=["bottle", "socketio"])
def test_a_framework_that_starts_gevents_server_serves_green_threads(tmp_path: Path, program: str, alive: str) -> None:
    with running(tmp_path, program) as address:
        assert body_of(f"{address}/alive") == alive
        assert output_of(CLIENTS, address).split() == [f"/meet/{n}" for n in range(10)]


def test_gevents_local_says_whether_threads_are_green() -> None:
    assert output_of("""
import gossamer.compat
gossamer.compat.install()
import abc, threading
from gevent import local, monkey
class Own(local.local, abc.ABC): pass
def judge(): print(isinstance(threading.local(), local.local), isinstance(threading.local(), Own),
                   isinstance(Own(), local.local), isinstance(local.local(), local.local), isinstance(1, local.local))
judge()
monkey.patch_all()
judge()
mine = local.local()
mine.value = 1
import gevent
print(mine.value, gevent.spawn(lambda: hasattr(mine, "value")).get())
""").splitlines() == ["False False True True False", "True False True True False", "1 False"]
