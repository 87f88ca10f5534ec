"""The main job: one process of `gossamer serve`, a thousand slow requests at once, real drivers to real servers."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossamer import _core
from tests.http.serving import Answer, answers, read_all
from tests.support import servers
from tests.support.scale import patience, scaled

SERVICE = """
import os, time
import pymysql, redis, requests
from flask import Flask

app = Flask(__name__)
pool = redis.ConnectionPool(port=int(os.environ['REDIS_PORT']), max_connections=4000)

@app.get('/<int:number>')
def view(number):
    time.sleep(0.5)
    slow = requests.get(os.environ['SLOW_URL'] + str(number)).text
    counted = redis.Redis(connection_pool=pool).incr('asked')
    connection = pymysql.connect(host='127.0.0.1', port=int(os.environ['MARIADB_PORT']), user='test', ssl_disabled=True)
    with connection, connection.cursor() as cursor:
        cursor.execute('SELECT SLEEP(0.2), %s', (number,))
        asleep, answer = cursor.fetchone()
    return f'{slow} {asleep} {answer} {counted > 0}'
"""


SLOW_SERVICE = """
import resource, socket, sys
from gossamer import _core
from gossamer.http.server import Server
import time

def app(environ, start_response):
    time.sleep(0.5)
    start_response('200 OK', [])
    return [environ['PATH_INFO'].encode()]

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
listener = socket.create_server(('127.0.0.1', 0), backlog=4096)
print(listener.getsockname()[1], flush=True)
Server(app, [listener]).serve_forever()
"""


@contextlib.contextmanager
def started(command: list[str], folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process, and the first line that it prints."""
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(patience(40))
            finally:
                process.kill()


def processor_seconds(process: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "service.py").write_text(SERVICE)
    return tmp_path


def ask(port: int, number: int) -> Answer:
    """The response to one request, by blocking calls in a green thread."""
    with servers.connected(port) as client:
        client.sendall(f"GET /{number} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        return answers(read_all(client))[0]


@pytest.mark.timeout(300)  # the servers begin, and then what it asserts is a bound of 120 seconds
def test_a_thousand_requests_wait_for_four_things_each_at_the_same_time(folder: Path) -> None:
    count = scaled(1000)
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(servers.folder_of_its_own()) for _ in range(2)]
        redis = stack.enter_context(servers.redis(places[0]))
        settings = ["--max-connections=1200", "--back-log=1200", "--skip-ssl", "--thread-cache-size=1200"]
        mariadb = stack.enter_context(servers.mariadb(places[1], *settings))
        _, slow_port = stack.enter_context(started([sys.executable, "-c", SLOW_SERVICE], folder))
        command = [sys.executable, "-m", "gossamer", "serve", "--bind", "127.0.0.1:0", "service:app"]
        process, line = stack.enter_context(
            started(
                command,
                folder,
                REDIS_PORT=str(redis.port),
                MARIADB_PORT=str(mariadb.port),
                SLOW_URL=f"http://127.0.0.1:{slow_port.strip()}/",
            )
        )
        told = re.search(r":(\d+)/", line)
        assert told is not None, line
        port = int(told[1])
        assert ask(port, 0).status == 200
        before, began = processor_seconds(process.pid), time.monotonic()
        clients = [_core.spawn(ask, port, number) for number in range(count)]
        for client in clients:
            client.join()
        seconds, processor = time.monotonic() - began, processor_seconds(process.pid) - before
        print(f"{count} requests in {seconds:.2f} s; the server used {processor:.2f} s of processor time")
        found = [client.value for client in clients]
        assert [answer.status for answer in found] == [200] * count
        assert [answer.body.decode() for answer in found] == [f"/{number} 0 {number} True" for number in range(count)]
        # one after another would take 1.2 s each
        assert seconds < count * 1.2 / 10
