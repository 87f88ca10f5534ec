"""`gossamer run` switches blocking points and green threads on, and programs end as with `python`."""

import signal
from pathlib import Path

import pytest

from tests.cli.launching import with_gossamer, with_python

PROGRAMS = {
    "a thread is waited for": """
import threading, time
threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()
print('main')
""",
    "a daemon is not": """
import threading, time
threading.Thread(target=lambda: (time.sleep(60), print('thread')), daemon=True).start()
print('main')
""",
    "SystemExit with a thread under way": """
import sys, threading, time
threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()
sys.exit(5)
""",
    "KeyboardInterrupt while waiting for a thread": """
import os, signal, threading, time
def kill():
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)
thread = threading.Thread(target=kill)
thread.start()
try:
    time.sleep(60)
except KeyboardInterrupt:
    print('interrupted')
""",
    "executors": """
from concurrent.futures import ThreadPoolExecutor
import time
with ThreadPoolExecutor(4) as pool:
    print(list(pool.map(lambda n: (time.sleep(0.01), n)[1], range(8))))
""",
    "exit functions after the threads": """
import atexit, threading, time
atexit.register(print, 'exit function')
threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()
""",
    "an error in a thread": """
import threading
threading.excepthook = lambda args: print(args.exc_type.__name__, args.thread.name)
thread = threading.Thread(target=lambda: 1 / 0, name='mine')
thread.start()
thread.join()
print(thread.is_alive(), threading.active_count(), threading.current_thread() is threading.main_thread())
""",
    "timers and local data": """
import threading
data = threading.local()
data.x = 'main'
done = threading.Event()
def later():
    print(hasattr(data, 'x'))
    done.set()
threading.Timer(0.01, later).start()
done.wait()
print(data.x)
""",
    "subprocess, select and pipes": """
import os, select, subprocess, sys
read, write = os.pipe()
process = subprocess.Popen([sys.executable, '-c', 'print(6 * 7)'], stdout=subprocess.PIPE)
print(process.communicate(), process.returncode)
os.write(write, b'x')
print(select.select([read], [], [], 5)[0] == [read], os.read(read, 1))
""",
}


@pytest.mark.parametrize("option", [[], ["--as-gevent"]], ids=["plain", "--as-gevent"])
@pytest.mark.parametrize("source", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_program_with_threads_does_and_ends_as_with_python(folder: Path, source: str, option: list[str]) -> None:
    (folder / "program.py").write_text(source)
    ours, pythons = with_gossamer(*option, "program.py"), with_python("program.py")
    assert (ours.status, ours.out, ours.err) == (pythons.status, pythons.out, pythons.err)


def test_a_thread_may_start_another_one_after_the_end_of_the_main_thread(folder: Path) -> None:
    """Whatever the version: CPython 3.12 by itself refuses, those before and after it do not."""
    (folder / "program.py").write_text("""
import threading, time
def first():
    time.sleep(0.05)
    second = threading.Thread(target=lambda: (time.sleep(0.05), print('second')))
    second.start()
    second.join()
    print('first')
threading.Thread(target=first).start()
""")
    ended = with_gossamer("program.py")
    assert (ended.status, ended.out, ended.err) == (0, "second\nfirst\n", ""), ended.describe()


def test_threads_of_the_program_are_green_and_overlap(folder: Path) -> None:
    (folder / "program.py").write_text("""
import os, threading, time
barrier = threading.Barrier(200)
def meet():
    barrier.wait()
    time.sleep(0.05)
threads = [threading.Thread(target=meet) for _ in range(200)]
for thread in threads: thread.start()
time.sleep(0.01)
print(len(os.listdir('/proc/self/task')), len({thread.native_id for thread in threads}), threading.active_count())
for thread in threads: thread.join()
""")
    ended = with_gossamer("program.py")
    assert (ended.status, ended.out) == (0, "1 1 201\n"), ended.describe()


def test_an_interrupted_program_with_threads_dies_by_the_signal(folder: Path) -> None:
    (folder / "program.py").write_text("""
import os, signal, threading, time
threading.Thread(target=lambda: (time.sleep(0.05), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()
time.sleep(60)
""")
    assert with_gossamer("program.py").status == with_python("program.py").status == -signal.SIGINT


def test_a_threading_http_server_and_its_clients_overlap_in_one_os_thread(folder: Path) -> None:
    (folder / "program.py").write_text("""
import os, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

together = threading.Barrier(20)

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        together.wait(30)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())
    def log_message(self, *args):
        pass

class Server(ThreadingHTTPServer):
    request_queue_size = 100

server = Server(('127.0.0.1', 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
answers = []
def ask(number):
    with urllib.request.urlopen(f'http://127.0.0.1:{server.server_port}/{number}') as answer:
        answers.append(answer.read())
clients = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
for client in clients: client.start()
for client in clients: client.join()
print(len(set(answers)))
server.shutdown()
""")
    ended = with_gossamer("program.py")
    assert (ended.status, ended.out) == (0, "20\n"), ended.describe()


def test_who_blocks_the_hub_is_told_if_the_environment_asks_for_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "program.py").write_text("""
import ctypes, threading
def culprit():
    ctypes.CDLL(None).usleep(800000)
thread = threading.Thread(target=culprit)
thread.start()
thread.join()
""")
    monkeypatch.setenv("GEVENT_MONITOR_THREAD_ENABLE", "yes")
    told = with_gossamer("program.py")
    assert told.status == 0, told.describe()
    assert "has blocked its hub for 0.1 seconds or more" in told.err
    assert "in culprit" in told.err
    monkeypatch.setenv("GEVENT_MONITOR_THREAD_ENABLE", "perhaps")
    refused = with_gossamer("program.py")
    assert refused.status == 2, refused.describe()
    assert refused.err.startswith("gossamer run: GEVENT_MONITOR_THREAD_ENABLE: 'perhaps' is neither")
    assert refused.err.count("\n") == 1
