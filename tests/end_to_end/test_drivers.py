"""Real database drivers, unmodified, wait for real servers without keeping other green threads from running.

That many ran at once is seen by what the server counted, or by all of them being done in a fraction of the time that
one after another would take.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import redis
import sqlalchemy

from gossamer import _core
from tests.support import servers

MANY = 100
SECONDS = 0.2


def at_once(count: int, work: Callable[[int], object]) -> tuple[list[object], float]:
    """What `work(0)`, `work(1)`, ... return, each in a green thread, and how many seconds all took."""
    began = time.monotonic()
    green_threads = [_core.spawn(work, number) for number in range(count)]
    for green_thread in green_threads:
        green_thread.join()
    failed = [green_thread.exception for green_thread in green_threads if green_thread.exception is not None]
    assert failed == []
    return [green_thread.value for green_thread in green_threads], time.monotonic() - began


def one_after_another(count: int) -> float:
    """Seconds that waits of SECONDS would take without concurrency."""
    return count * SECONDS


@pytest.fixture(scope="module")
def redis_server() -> Iterator[servers.Server]:
    with servers.folder_of_its_own() as folder, servers.redis(folder) as server:
        yield server


@pytest.fixture(scope="module")
def mariadb_server() -> Iterator[servers.Server]:
    with servers.folder_of_its_own() as folder, servers.mariadb(folder, "--max-connections=400") as server:
        yield server


@pytest.fixture(scope="module")
def postgresql_server() -> Iterator[servers.Server]:
    with servers.folder_of_its_own() as folder, servers.postgresql(folder, "max_connections=200") as server:
        yield server


def test_redis_clients_block_on_lists_at_the_same_time(redis_server: servers.Server) -> None:
    pool = redis.ConnectionPool(host=redis_server.host, port=redis_server.port, max_connections=2 * MANY)
    client = redis.Redis(connection_pool=pool)

    def wait(number: int) -> object:
        return client.blpop([f"list {number}"], timeout=30)

    waiting = [_core.spawn(wait, number) for number in range(MANY)]

    def blocked() -> Any:
        clients: Any = client.info("clients")
        return clients["blocked_clients"]

    while blocked() < MANY:
        time.sleep(0.01)
    for number in range(MANY):
        client.rpush(f"list {number}", number)
    for green_thread in waiting:
        green_thread.join()
    assert [green_thread.value for green_thread in waiting] == [
        (f"list {number}".encode(), str(number).encode()) for number in range(MANY)
    ]
    pool.disconnect()


def test_redis_pipelines_take_turns_at_the_connections_of_a_pool(redis_server: servers.Server) -> None:
    pool = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
        host=redis_server.host, port=redis_server.port, client_name="pipelines", max_connections=10, timeout=60
    )
    client = redis.Redis(connection_pool=pool)
    most = 0

    def count(number: int) -> object:
        nonlocal most
        with client.pipeline() as pipeline:
            pipeline.watch(f"number {number}")  # type: ignore[no-untyped-call]
            time.sleep(0.001)  # it has a connection since then, while others run
            pipeline.multi()
            pipeline.incr("counted")
            pipeline.set(f"number {number}", number)
            pipeline.get(f"number {number}")
            results = pipeline.execute()
        clients: Any = client.client_list()
        most = max(most, sum(each["name"] == "pipelines" for each in clients))
        return results[2]

    answers, _ = at_once(2 * MANY, count)
    assert answers == [str(number).encode() for number in range(2 * MANY)]
    assert client.get("counted") == str(2 * MANY).encode()
    assert 1 < most <= 10
    pool.disconnect()


def test_a_redis_lock_is_held_by_one_at_a_time(redis_server: servers.Server) -> None:
    client = redis.Redis(host=redis_server.host, port=redis_server.port)
    held: list[int] = []
    most = 0

    def hold(number: int) -> None:
        nonlocal most
        with client.lock("one at a time", timeout=60, sleep=0.005):
            held.append(number)
            most = max(most, len(held))
            time.sleep(0.005)
            held.remove(number)

    at_once(20, hold)
    assert most == 1
    client.close()


def test_a_redis_subscriber_waits_while_another_green_thread_publishes(redis_server: servers.Server) -> None:
    client = redis.Redis(host=redis_server.host, port=redis_server.port)
    subscriber = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    subscriber.subscribe("news")

    def listen() -> object:
        return next(message["data"] for message in subscriber.listen())

    listening = _core.spawn(listen)
    while client.publish("news", "hello") == 0 or not listening.ready():
        time.sleep(0.01)
    assert listening.value == b"hello"
    subscriber.close()
    client.close()


def test_pymysql_queries_run_at_the_same_time(mariadb_server: servers.Server) -> None:
    def sleep(number: int) -> object:
        connection = pymysql.connect(
            host=mariadb_server.host, port=mariadb_server.port, user=mariadb_server.user, ssl_disabled=True
        )
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT SLEEP(%s), %s", (SECONDS, number))
            return cursor.fetchall()

    answers, seconds = at_once(MANY, sleep)
    assert answers == [((0, number),) for number in range(MANY)]
    assert seconds < one_after_another(MANY) / 2


def test_psycopg_queries_run_at_the_same_time(postgresql_server: servers.Server) -> None:
    def sleep(number: int) -> object:
        with psycopg.connect(
            host=postgresql_server.host, port=postgresql_server.port, user=postgresql_server.user, dbname="postgres"
        ) as connection:
            return connection.execute("SELECT %s::int, pg_sleep(%s) IS NULL", (number, SECONDS)).fetchone()

    answers, seconds = at_once(MANY, sleep)
    assert answers == [(number, False) for number in range(MANY)]
    assert seconds < one_after_another(MANY) / 2


def test_green_threads_take_turns_at_the_connections_of_an_sqlalchemy_pool(mariadb_server: servers.Server) -> None:
    engine = sqlalchemy.create_engine(
        f"mysql+pymysql://{mariadb_server.user}@{mariadb_server.host}:{mariadb_server.port}/test",
        pool_size=10,
        max_overflow=0,
        pool_timeout=60,
    )
    most, held, guard = 0, 0, threading.Lock()

    def sleep(number: int) -> object:
        nonlocal most, held
        with engine.connect() as connection:
            with guard:
                held += 1
                most = max(most, held)
            answer = connection.execute(sqlalchemy.text(f"SELECT SLEEP(0.02), {number}")).one()[1]
            with guard:
                held -= 1
            return answer

    answers, _ = at_once(200, sleep)
    assert answers == list(range(200))
    assert most == 10
    engine.dispose()


def test_an_sqlalchemy_pool_that_is_exhausted_says_so_in_time(mariadb_server: servers.Server) -> None:
    engine = sqlalchemy.create_engine(
        f"mysql+pymysql://{mariadb_server.user}@{mariadb_server.host}:{mariadb_server.port}/test",
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.2,
    )
    with engine.connect():
        refused = _core.spawn(engine.connect)
        refused.join()
        assert isinstance(refused.exception, sqlalchemy.exc.TimeoutError)
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_a_postgresql_listener_waits_while_another_green_thread_notifies(postgresql_server: servers.Server) -> None:
    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=postgresql_server.host,
            port=postgresql_server.port,
            user=postgresql_server.user,
            dbname="postgres",
            autocommit=True,
        )

    with connect() as listener, connect() as notifier:
        listener.execute("LISTEN news")
        listening = _core.spawn(lambda: next(listener.notifies(timeout=60)).payload)
        notifier.execute("NOTIFY news, 'hello'")
        listening.join()
        assert listening.value == "hello"


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:

    with (
        pytest.raises(RuntimeError, match="the server ended with status"),
        servers.running([servers.program("redis-server"), "--no-such-option"], tmp_path, owner=None, port=1),
    ):
        pass
