"""sqlite3: a green thread that waits for another connection's transaction parks, in SQLite's own busy handler."""

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import spawn
from tests.support.memory import least_growth
from tests.support.runtime import joined, turns, until
from tests.support.scale import patience, scaled

Connect = Callable[..., sqlite3.Connection]


class Interrupt(Exception):
    pass


@pytest.fixture(autouse=True)
def _points() -> None:
    _core.get_hub()


@pytest.fixture(params=["delete", "wal"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = str(tmp_path / "data.db")
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode = {request.param}")
    connection.execute("CREATE TABLE entry (text)")
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def connect(database: str) -> Iterator[Connect]:
    made: list[sqlite3.Connection] = []

    def make(**options: Any) -> sqlite3.Connection:
        made.append(sqlite3.connect(database, **({"timeout": patience(60)} | options)))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


def insert(connection: sqlite3.Connection, text: str = "x") -> None:
    connection.execute("INSERT INTO entry VALUES (?)", (text,))
    connection.commit()


def texts(connection: sqlite3.Connection) -> list[str]:
    return [text for (text,) in connection.execute("SELECT text FROM entry ORDER BY rowid")]


def in_transaction(connection: sqlite3.Connection, text: str = "first") -> sqlite3.Connection:
    """The connection, in the middle of a transaction that has written."""
    connection.execute("INSERT INTO entry VALUES (?)", (text,))
    return connection


def in_the_middle_of_reading(connection: sqlite3.Connection) -> sqlite3.Cursor:
    """A cursor with rows to come, which holds a lock that a commit has to wait for."""
    for text in "abc":
        insert(connection, text)
    rows = connection.execute("SELECT text FROM entry")
    assert next(rows) == ("a",)
    return rows


def waiting(function: Callable[..., object], *args: Any) -> _core.GreenThread:
    """A green thread that waits in the call: it has had turns, and has not come to its end."""
    thread = spawn(function, *args)
    for _ in range(5):
        _core.sleep(0.002)
    assert not thread.ready(), thread.exception
    return thread


def outcome(function: Callable[..., object], *args: Any) -> Any:
    try:
        return function(*args)
    except sqlite3.Error as fault:
        return (type(fault), str(fault))


LOCKED = (sqlite3.OperationalError, "database is locked")


def test_all_points_are_installed() -> None:
    names = {name for name, group, _, on in _core.points() if group == "sqlite3" and on}
    assert {"_sqlite3.Connection.execute", "_sqlite3.Cursor.execute", "_sqlite3.Connection.commit"} <= names


def test_a_second_writer_goes_on_when_the_first_commits_and_others_run_meanwhile(connect: Connect) -> None:
    first = in_transaction(connect())
    second = waiting(insert, connect(), "second")
    turns(100)
    first.commit()
    joined(second)
    assert second.exception is None
    assert texts(connect()) == ["first", "second"]


def test_two_writers_that_pause_inside_their_transactions_both_succeed(connect: Connect) -> None:
    def write(text: str) -> None:
        in_transaction(connect := make_connection(), text)
        time.sleep(0.05)
        connect.commit()

    make_connection = connect
    threads = [spawn(write, text) for text in "abc"]
    joined(*threads)
    assert [thread.exception for thread in threads] == [None] * 3
    assert sorted(texts(connect())) == ["a", "b", "c"]


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_the_beginning_of_a_transaction_waits(connect: Connect, begin: str) -> None:
    first, other = in_transaction(connect()), connect(isolation_level=None)
    second = waiting(other.execute, begin)
    first.commit()
    joined(second)
    assert second.exception is None
    assert other.in_transaction


@pytest.mark.parametrize(
    "write",
    [
        lambda connection: connection.execute("INSERT INTO entry VALUES ('y')"),
        lambda connection: connection.executemany("INSERT INTO entry VALUES (?)", iter([("y",)])),
        lambda connection: connection.executescript("INSERT INTO entry VALUES ('y')"),
        lambda connection: connection.cursor().execute("INSERT INTO entry VALUES ('y')"),
        lambda connection: connection.cursor().executemany("INSERT INTO entry VALUES (?)", iter([("y",)])),
        lambda connection: connection.cursor().executescript("INSERT INTO entry VALUES ('y')"),
    ],
)
def test_each_way_to_execute_waits_and_writes_once(
    connect: Connect, write: Callable[[sqlite3.Connection], object]
) -> None:
    first, other = in_transaction(connect()), connect()
    second = waiting(write, other)
    first.commit()
    joined(second)
    assert second.exception is None
    other.commit()
    assert texts(connect()) == ["first", "y"]


def test_parameters_and_functions_are_asked_once(connect: Connect) -> None:
    first, other = in_transaction(connect()), connect()
    asked: list[str] = []

    def parameters() -> Iterator[tuple[str]]:
        for text in "ab":
            asked.append(text)
            yield (text,)

    second = waiting(other.executemany, "INSERT INTO entry VALUES (?)", parameters())
    first.commit()
    joined(second)
    other.commit()
    assert asked == ["a", "b"]
    assert texts(connect()) == ["first", "a", "b"]


@pytest.mark.parametrize("database", ["delete"], indirect=True)
@pytest.mark.parametrize("end", [lambda it: it.commit(), lambda it: it.__exit__(None, None, None)])
def test_a_commit_waits_for_readers(connect: Connect, end: Callable[[sqlite3.Connection], object]) -> None:
    rows = in_the_middle_of_reading(connect())
    writer = in_transaction(connect(), "new")
    committing = waiting(end, writer)
    rows.close()
    joined(committing)
    assert committing.exception is None
    assert texts(connect())[-1] == "new"


@pytest.mark.parametrize("database", ["delete"], indirect=True)
def test_changing_the_isolation_level_waits_for_the_commit_that_it_makes(connect: Connect) -> None:
    rows = in_the_middle_of_reading(connect())
    writer = in_transaction(connect(), "new")
    changing = waiting(setattr, writer, "isolation_level", None)
    rows.close()
    joined(changing)
    assert changing.exception is None
    assert texts(connect())[-1] == "new"


@pytest.mark.parametrize("database", ["delete"], indirect=True)
def test_a_reader_waits_for_an_exclusive_lock(connect: Connect) -> None:
    insert(connect(), "old")
    holder = connect(isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    reader = waiting(texts, connect())
    holder.execute("COMMIT")
    assert joined(reader) == [["old"]]


def test_the_timeout_is_honoured_with_the_error_that_it_always_was(connect: Connect) -> None:
    first, other = in_transaction(connect()), connect(timeout=0.2)
    before = time.monotonic()
    second = spawn(outcome, insert, other)
    turns()
    assert joined(second) == [LOCKED]
    assert time.monotonic() - before >= 0.2
    first.commit()
    insert(other)
    assert texts(connect()) == ["first", "x"]


def test_a_timeout_set_by_pragma_is_honoured_and_told(connect: Connect) -> None:
    first, other = in_transaction(connect()), connect()
    other.execute("PRAGMA busy_timeout = 150")
    assert other.execute("PRAGMA busy_timeout").fetchone() == (150,)
    assert joined(waiting(outcome, insert, other)) == [LOCKED]
    first.rollback()


def test_without_a_timeout_the_error_comes_at_once(connect: Connect) -> None:
    first, other = in_transaction(connect()), connect(timeout=0)
    switched = False

    def notice() -> None:
        nonlocal switched
        switched = True

    spawn(notice)
    assert outcome(insert, other) == LOCKED
    assert not switched
    first.rollback()


def test_an_upgrade_that_would_be_a_deadlock_is_refused_at_once(connect: Connect) -> None:
    insert(connect(), "old")
    reader = connect(isolation_level=None)
    reader.execute("BEGIN")
    assert texts(reader) == ["old"]
    writer = in_transaction(connect())
    journal = reader.execute("PRAGMA journal_mode").fetchone()[0]
    committing = spawn(writer.commit)
    _core.sleep(0.01)
    assert committing.ready() == (journal == "wal")
    assert outcome(reader.execute, "INSERT INTO entry VALUES ('x')") == LOCKED
    reader.execute("ROLLBACK")
    joined(committing)
    assert texts(connect()) == ["old", "first"]


def test_a_waiting_writer_can_be_interrupted_and_its_connection_goes_on(connect: Connect) -> None:
    first, other = in_transaction(connect()), connect()
    second = waiting(insert, other, "second")
    assert _core.interrupt(second, Interrupt("enough"))
    joined(second)
    assert isinstance(second.exception, Interrupt)
    first.commit()
    other.rollback()
    insert(other, "later")
    assert texts(connect()) == ["first", "later"]


def test_an_interrupt_does_not_wait_for_the_rest_of_a_long_timeout(connect: Connect) -> None:
    first = in_transaction(connect())
    second = waiting(insert, connect(timeout=3600))
    assert _core.interrupt(second, Interrupt())
    joined(second)
    assert isinstance(second.exception, Interrupt)
    first.rollback()


@pytest.mark.parametrize("check_same_thread", [True, False])
def test_green_threads_share_a_connection_in_which_one_waits(connect: Connect, check_same_thread: bool) -> None:
    first, shared = in_transaction(connect()), connect(check_same_thread=check_same_thread)
    threads = [waiting(insert, shared, "a")]
    threads += [waiting(insert, shared, text) for text in "bcd"]
    threads.append(waiting(lambda: shared.cursor().execute("SELECT 1").fetchall()))
    first.commit()
    joined(*threads)
    assert [thread.exception for thread in threads] == [None] * 5
    assert sorted(texts(connect())) == ["a", "b", "c", "d", "first"]


@pytest.mark.parametrize("database", ["delete"], indirect=True)
def test_a_cursor_that_is_iterated_waits_while_its_connection_is_occupied(connect: Connect) -> None:
    others = in_the_middle_of_reading(connect())
    shared = in_transaction(connect(), "d")
    rows = shared.execute("SELECT text FROM entry")
    committing = waiting(shared.commit)
    reading = waiting(list, rows)
    others.close()
    joined(committing, reading)
    assert committing.exception is None
    assert reading.value == [("a",), ("b",), ("c",), ("d",)]


def test_one_that_waits_for_an_occupied_connection_can_be_interrupted(connect: Connect) -> None:
    first, shared = in_transaction(connect()), connect()
    writer = waiting(insert, shared, "a")
    behind = [waiting(insert, shared, text) for text in "bc"]
    assert _core.interrupt(behind[0], Interrupt())
    joined(behind[0])
    first.commit()
    joined(writer, behind[1])
    assert isinstance(behind[0].exception, Interrupt)
    assert sorted(texts(connect())) == ["a", "c", "first"]


def test_a_function_in_python_may_use_other_connections_and_its_own(connect: Connect) -> None:
    first, outer, inner = in_transaction(connect()), connect(), connect()

    def nested(text: str) -> int:
        insert(inner, text)
        return int(outer.execute("SELECT 7").fetchone()[0])

    outer.create_function("nested", 1, nested)
    calling = waiting(lambda: outer.execute("SELECT nested('n')").fetchone())
    behind = waiting(lambda: outer.execute("SELECT 8").fetchone())
    first.commit()
    assert joined(calling, behind) == [(7,), (8,)]
    assert texts(connect()) == ["first", "n"]


def test_a_native_thread_and_green_threads_wait_for_each_other(connect: Connect, database: str) -> None:
    held, release = threading.Event(), threading.Event()

    def native() -> None:
        connection = sqlite3.connect(database, timeout=patience(60))
        connection.execute("INSERT INTO entry VALUES ('native')")
        held.set()
        release.wait()
        connection.commit()
        connection.close()

    thread = threading.Thread(target=native)
    thread.start()
    until(held.is_set)
    second = waiting(insert, connect(), "green")
    release.set()
    joined(second)
    thread.join()
    first = in_transaction(connect(), "green again")
    done = threading.Event()

    def native_again() -> None:
        connection = sqlite3.connect(database, timeout=patience(60))
        insert(connection, "native again")
        connection.close()
        done.set()

    thread = threading.Thread(target=native_again)
    thread.start()
    _core.sleep(0.02)
    assert not done.is_set()
    first.commit()
    until(done.is_set)
    thread.join()
    assert texts(connect()) == ["native", "green", "green again", "native again"]


def test_a_connection_that_a_native_thread_shares_with_one_that_waits(connect: Connect) -> None:
    first, shared = in_transaction(connect()), connect(check_same_thread=False)
    second = waiting(insert, shared, "green")
    done = threading.Event()

    def native() -> None:
        for number in range(20):
            shared.execute("INSERT INTO entry VALUES (?)", (str(number),)).fetchall()
            shared.commit()
        done.set()

    thread = threading.Thread(target=native)
    thread.start()
    _core.sleep(0.02)
    first.commit()
    until(done.is_set)
    thread.join()
    joined(second)
    assert second.exception is None
    assert len(texts(connect())) == 22


def test_another_process_that_holds_the_lock_is_waited_for(connect: Connect, database: str) -> None:
    source = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(\"INSERT INTO entry VALUES ('other')\");"
        "print('held', end='', flush=True); sys.stdin.read(); c.commit()"
    )
    command = [sys.executable, "-c", source, database]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"held"
        second = waiting(insert, connect(), "green")
        process.stdin.close()
        joined(second)
        assert second.exception is None
        until(lambda: process.poll() is not None)
    assert texts(connect()) == ["other", "green"]


def test_two_hundred_green_threads_write_all_that_they_have_to(connect: Connect, database: str) -> None:
    writers, each = scaled(200, 20), 5

    def write(number: int) -> None:
        connection = sqlite3.connect(database, timeout=patience(60))
        connection.execute("PRAGMA synchronous = OFF")
        for text in range(each):
            in_transaction(connection, f"{number} {text}")
            if number % 20 == 0:
                _core.sleep(random.random() / 1000)
            connection.commit()
        connection.close()

    threads = [spawn(write, number) for number in range(writers)]
    for thread in threads:
        thread.join(timeout=patience(120))
        assert thread.ready()
        assert thread.exception is None
    assert len(set(texts(connect()))) == writers * each


def test_a_backup_waits_for_the_lock_and_for_the_transaction_of_its_own_connection(
    connect: Connect, tmp_path: Path
) -> None:
    source = in_transaction(connect())
    target = sqlite3.connect(str(tmp_path / "copy.db"))
    statuses: list[int] = []

    def progress(status: int, remaining: int, total: int) -> None:
        statuses.append(status)

    backup = waiting(lambda: source.backup(target, progress=progress, sleep=0.001))
    source.commit()
    joined(backup)
    assert backup.exception is None
    assert statuses[-1] == 101
    assert set(statuses[:-1]) <= {5, 6}
    assert texts(target) == ["first"]
    target.close()


def test_a_backup_that_waits_can_be_interrupted(connect: Connect, tmp_path: Path) -> None:
    source = in_transaction(connect())
    target = sqlite3.connect(str(tmp_path / "copy.db"))
    backup = waiting(lambda: source.backup(target, sleep=0.001))
    assert _core.interrupt(backup, Interrupt())
    joined(backup)
    assert isinstance(backup.exception, Interrupt)
    source.commit()
    target.close()


def test_what_backup_refuses_is_refused_as_ever(connect: Connect) -> None:
    source = connect()
    with pytest.raises(TypeError):
        source.backup(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="progress"):
        source.backup(connect(), progress="no")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="target"):
        source.backup(source)


def test_a_dump_waits_for_the_lock(connect: Connect) -> None:
    insert(connect(), "old")
    holder = connect(isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    dumping = spawn(lambda: list(connect().iterdump()))
    _core.sleep(0.01)
    holder.execute("COMMIT")
    (lines,) = joined(dumping)
    assert """INSERT INTO "entry" VALUES('old');""" in lines


def test_waiting_leaves_nothing_behind(connect: Connect) -> None:
    first, second = connect(), connect()

    def rounds() -> None:
        for _ in range(20):
            in_transaction(first)
            thread = waiting(insert, second)
            first.rollback()
            joined(thread)

    assert least_growth(rounds, lambda: sys.getrefcount(second), rounds=2) == 0


def test_sqlalchemy_waits_without_blocking_others(database: str) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine(f"sqlite:///{database}", connect_args={"timeout": patience(60)}, pool_size=20)
    ticks: list[int] = []

    def write(number: int) -> None:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("INSERT INTO entry VALUES (:text)"), {"text": str(number)})
            time.sleep(0.01)

    def tick() -> None:
        while len(ticks) < 20:
            time.sleep(0.001)
            ticks.append(1)

    threads = [spawn(write, number) for number in range(10)] + [spawn(tick)]
    joined(*threads)
    assert [thread.exception for thread in threads] == [None] * 11
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT count(*) FROM entry")).scalar() == 10
    engine.dispose()
