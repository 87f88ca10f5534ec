"""gevent's own wheel, unmodified, with Gossamer in the place of greenlet: what shows that the C interface is whole.

gevent's hub, greenlets and primitives are C extensions that were compiled with greenlet's header. The group `gevent` of
pyproject.toml installs them; everything happens in child processes.
"""

import importlib.util
import re

import pytest

from tests.support.children import output_of

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None, reason="gevent is not installed: the dependency group `gevent` has it"
)

ALIAS = """
import gossamer.compat
gossamer.compat.install(names=["greenlet"])
"""


def lines(source: str) -> list[str]:
    """What `source` prints in a child where `greenlet` is Gossamer's and `gevent` is the real one."""
    return output_of(ALIAS + source).splitlines()


def test_it_is_the_real_gevent_on_gossamers_greenlets() -> None:
    printed = lines("""
import gevent, gevent.hub, gossamer.switching, greenlet
print("site-packages" in gevent.__file__)
print(greenlet.greenlet is gossamer.switching.greenlet)
print(issubclass(gevent.Greenlet, gossamer.switching.greenlet), issubclass(gevent.hub.Hub, gossamer.switching.greenlet))
print(gevent.Greenlet.__module__, gevent.getcurrent() is gossamer.switching.getcurrent())
import sys
print([name for name in sys.modules if name == "greenlet" or name.startswith("greenlet.")])
print("site-packages/greenlet" in open("/proc/self/maps").read())
""")
    assert printed == [
        "True",
        "True",
        "True True",
        "gevent._gevent_cgreenlet True",
        "['greenlet']",
        "False",
    ]


def test_its_server_answers_a_hundred_concurrent_requests() -> None:
    printed = lines("""
import gevent, gevent.monkey
gevent.monkey.patch_all()
import http.client
from gevent.event import Event
from gevent.pywsgi import WSGIServer
COUNT = 100
inside, everybody = [], Event()
def application(environ, start_response):
    inside.append(environ["PATH_INFO"])
    if len(inside) == COUNT:
        everybody.set()
    everybody.wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode(), b"!"]
server = WSGIServer(("127.0.0.1", 0), application, log=None)
server.start()
def ask(n):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", f"/{n}")
    answer = connection.getresponse()
    result = answer.status, answer.read()
    connection.close()
    return result
jobs = [gevent.spawn(ask, n) for n in range(COUNT)]
gevent.joinall(jobs, raise_error=True)
print([job.value for job in jobs] == [(200, f"/{n}!".encode()) for n in range(COUNT)])
server.stop()
""")
    assert printed == ["True"]


def test_an_error_of_the_application_is_answered_and_printed() -> None:
    ended_lines = lines("""
import sys
sys.stderr = sys.stdout
import gevent, gevent.monkey
gevent.monkey.patch_all()
import urllib.error, urllib.request
from gevent.pywsgi import WSGIServer
def application(environ, start_response):
    raise LookupError("of the application")
server = WSGIServer(("127.0.0.1", 0), application, log=None)
server.start()
try:
    urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/")
except urllib.error.HTTPError as error:
    print("status", error.code)
""")
    assert "status 500" in ended_lines
    assert "LookupError: of the application" in ended_lines


def test_its_primitives_work() -> None:
    printed = lines("""
import gevent
from gevent import event, local, lock, pool, queue, subprocess, threadpool
channel = queue.Queue(1)
def produce():
    for n in range(100):
        channel.put(n)
job = gevent.spawn(produce)
print(sum(channel.get() for _ in range(100)))
result = event.AsyncResult()
gevent.spawn_later(0.001, result.set, "result")
print(result.get(timeout=10))
try:
    with gevent.Timeout(0.001):
        event.Event().wait()
except gevent.Timeout:
    print("timeout")
killed = gevent.spawn(gevent.sleep, 100)
gevent.sleep(0)
killed.kill()
print(killed.dead, type(killed.value).__name__)
print(sorted(pool.Pool(3).imap_unordered(lambda n: n * n, range(5))))
print(threadpool.ThreadPool(2).spawn(sum, (1, 2)).get())
print(subprocess.check_output(["echo", "child"]).decode().strip())
mine = local.local()
def put(n):
    mine.x = n
    gevent.sleep(0)
    return mine.x
print([job.value for job in gevent.joinall([gevent.spawn(put, n) for n in range(3)])])
failing = gevent.spawn(lambda: 1 / 0)
failing.join()
print(repr(failing.exception))
""")
    assert printed[:5] == ["4950", "result", "timeout", "True GreenletExit", "[0, 1, 4, 9, 16]"]
    assert printed[5:] == ["3", "child", "[0, 1, 2]", "ZeroDivisionError('division by zero')"]


def test_thousands_of_its_greenlets_share_stacks() -> None:
    printed = lines("""
import gevent, gossamer.switching
jobs = [gevent.spawn(gevent.sleep, 0.5) for _ in range(2000)]
gevent.sleep(0)
print(gossamer.switching.counts()["copied_out"] > 0)
gevent.joinall(jobs)
print(all(job.successful() for job in jobs))
""")
    assert printed == ["True", "True"]


def test_it_says_whose_greenlets_they_are() -> None:
    printed = lines("""
import gevent, greenlet
print(greenlet.greenlet.__module__, greenlet.__version__)
""")
    assert re.fullmatch(r"gossamer\.switching \d+\.\d+\.\d+", printed[0])
