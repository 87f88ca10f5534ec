"""Blocking points leave nothing behind: each family of waits however it ends, and what is made, used and dropped.

Blocks of the object allocator are counted, and on a debug build the references too (`tests.support.memory.leaks`).
The waits are those of `proof_families`, in a child process each (`leak_child`); what is here has no waiter who lasts.
"""

import concurrent.futures
import contextlib
import fcntl
import os
import queue
import select
import selectors
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gossamer
from gossamer._core import counts, get_hub, sleep, spawn
from tests.points.proof_families import FAMILIES
from tests.support.certificates import make_certificates, tls_pair
from tests.support.children import run_command
from tests.support.memory import leaks
from tests.support.runtime import joined, open_descriptors, reported, turns, until
from tests.support.scale import patience, scaled

# A child process, a shell or some milliseconds for each wait.
SLOW_FAMILIES = {
    "Sleep", "SqliteBusy", "SubprocessCommunicate", "SubprocessWait", "System", "TlsHandshake", "WaitPid",
}  # fmt: skip


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_wait_leaves_nothing_however_it_ends(family: str, certificates: Path) -> None:
    limit = patience(100)
    times = 20 if family in SLOW_FAMILIES else scaled(40, least=20)
    ended = run_command(
        [sys.executable, "-m", "tests.points.leak_child", family, str(times), str(limit)],
        seconds=limit + 30,
        environment={"PROOF_CERTIFICATES": str(certificates)},
    )
    assert ended.status == 0, ended.describe()
    assert "woken by a native thread: nothing left" in ended.out, ended.describe()


# ---- what is made, used and dropped


def locks() -> None:
    lock, rlock = threading.Lock(), threading.RLock()
    with lock:
        assert not lock.acquire(blocking=False)
        assert not lock.acquire(timeout=0.0001)
        waiter = spawn(lock.acquire)
        turns(1)
    joined(waiter)
    with rlock, rlock:
        waiter = spawn(rlock.acquire, True, 0.0001)
        joined(waiter)
    with contextlib.suppress(RuntimeError):
        rlock.release()


def locks_dropped_with_those_who_wait() -> None:
    lock = threading.Lock()
    lock.acquire()
    waiter = gossamer.spawn(lock.acquire)
    turns(1)
    del lock
    waiter.kill()


def conditions_and_what_is_made_of_them() -> None:
    event, condition = threading.Event(), threading.Condition()
    barrier, semaphore = threading.Barrier(3), threading.BoundedSemaphore(1)
    assert not event.wait(0.0001)
    with condition:
        assert not condition.wait(0.0001)
        assert not condition.wait_for(lambda: False, 0.0001)
    crowd = [spawn(barrier.wait) for _ in range(2)]
    turns(1)
    barrier.wait()
    joined(*crowd)
    crowd = [spawn(event.wait) for _ in range(3)]
    turns(1)
    event.set()
    joined(*crowd)
    with semaphore:
        assert not semaphore.acquire(timeout=0.0001)


def queues() -> None:
    simple: queue.SimpleQueue[object] = queue.SimpleQueue()
    bounded: queue.Queue[object] = queue.Queue(1)
    for it in (simple, bounded):
        with contextlib.suppress(queue.Empty):
            it.get(timeout=0.0001)
        with contextlib.suppress(queue.Empty):
            it.get(block=False)
        it.put([1])
    with contextlib.suppress(queue.Full):
        bounded.put([2], timeout=0.0001)


def sleeps() -> None:
    time.sleep(0)
    time.sleep(1e-6)
    for wrong in (-1, "x", float("nan")):
        with contextlib.suppress(TypeError, ValueError):
            time.sleep(wrong)  # type: ignore[arg-type]


def messages() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendmsg([b"a", b"b"])
        right.recvmsg(10, 100)
        left.send(b"c")
        right.recvmsg_into([bytearray(5), bytearray(5)])
        left.sendall(memoryview(b"d"))
        right.recvfrom_into(bytearray(5))
        left.send(b"e")
        right.recv(5, socket.MSG_PEEK)
        right.recvfrom(5)
        socket.send_fds(left, [b"f"], [left.fileno()])
        for number in socket.recv_fds(right, 5, 3)[1]:
            os.close(number)


def sockets_that_refuse_or_time_out() -> None:
    left, right = socket.socketpair()
    with right:
        right.settimeout(0.0001)
        calls: list[Callable[[], object]] = [
            lambda: right.recv(5),
            lambda: right.recv_into(bytearray(5)),
            lambda: right.recvfrom(5),
            lambda: right.recv(-1),
            lambda: right.recv("x"),  # type: ignore[arg-type]
            lambda: right.send("x"),  # type: ignore[arg-type]
            lambda: right.sendmsg(5),  # type: ignore[arg-type]
            lambda: right.sendto(b"x", 5),  # type: ignore[call-overload]
            lambda: right.connect(5),  # type: ignore[arg-type]
            right.accept,
            lambda: left.recv(5),
            lambda: left.sendall(b"x"),
            lambda: right.sendall(b"x"),
        ]
        left.close()
        for call in calls:
            with contextlib.suppress(OSError, TypeError, ValueError):
                call()


def connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = spawn(listener.accept)
        with socket.create_connection(listener.getsockname(), timeout=60) as client:
            with joined(accepting)[0][0] as server, server.makefile("rwb") as file:
                client.sendall(b"line\n")
                assert file.readline() == b"line\n"
        address = listener.getsockname()
    with socket.socket() as client:
        assert client.connect_ex(address) != 0
        with contextlib.suppress(ConnectionRefusedError):
            client.connect(address)


def datagrams() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as receiver, socket.socket(type=socket.SOCK_DGRAM) as sender:
        receiver.bind(("127.0.0.1", 0))
        reading = spawn(receiver.recvfrom, 10)
        turns(1)
        sender.sendto(b"x", receiver.getsockname())
        joined(reading)
        sender.sendmsg([b"x"], (), 0, receiver.getsockname())
        receiver.recvmsg(10)


def sockets_closed_under_those_who_wait() -> None:
    left, right = socket.socketpair()
    with left, reported():
        waiter = spawn(right.recv, 1)
        turns(1)
        right.close()
        waiter.join()


def readiness() -> None:
    left, right = socket.socketpair()
    with left, right, select.epoll() as epoll, selectors.DefaultSelector() as selector:
        poll = select.poll()
        poll.register(left, select.POLLIN)
        epoll.register(left, select.EPOLLIN)
        selector.register(left, selectors.EVENT_READ, [1])
        assert select.select([left], [], [], 0.0001) == ([], [], [])
        assert poll.poll(0.1) == [] and epoll.poll(0.0001) == [] and selector.select(0.0001) == []
        right.send(b"x")
        assert select.select([left], [left], [left])[0] == [left]
        assert poll.poll() and epoll.poll() and selector.select()
    wrong: list[list[Any]] = [[-1], [987654], ["x"]]
    for them in wrong:
        with contextlib.suppress(OSError, TypeError, ValueError):
            select.select(them, [], [])


def names() -> None:
    assert socket.getaddrinfo("127.0.0.1", 80) and socket.getaddrinfo("localhost", "http")
    socket.getnameinfo(("127.0.0.1", 80), 0)
    socket.gethostbyname_ex("localhost")
    for wrong in ("no such name.", "\udcff", 5):
        with contextlib.suppress(OSError, UnicodeError, TypeError):
            socket.getaddrinfo(wrong, None)  # type: ignore[arg-type]


def pipes() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as source, open(writing, "wb", buffering=0) as sink:
        waiter = spawn(source.readline)
        turns(1)
        sink.write(b"one\ntwo\n")
        joined(waiter)
        source.readline()
        os.writev(writing, [b"a", b"b"])
        os.readv(reading, [bytearray(1), bytearray(1)])
        os.write(writing, b"rest")
        sink.close()
        assert source.read() == b"rest"
    for call in (lambda: os.read(-1, 5), lambda: os.write(-1, b""), lambda: os.read("x", 5)):  # type: ignore[arg-type]
        with contextlib.suppress(OSError, TypeError):
            call()


def files_between_descriptors() -> None:
    reading, writing = os.pipe()
    number = os.eventfd(1)
    with tempfile.TemporaryFile() as file, open(reading, "rb", buffering=0), open(writing, "wb", buffering=0):
        file.write(b"content")
        file.flush()
        left, right = socket.socketpair()
        with left, right:
            os.sendfile(left.fileno(), file.fileno(), 0, 7)
            assert os.splice(right.fileno(), writing, 7) == 7
        os.read(reading, 7)
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.flock(file, fcntl.LOCK_UN)
        fcntl.lockf(file, fcntl.LOCK_EX)
    os.eventfd_read(number)
    os.eventfd_write(number, 1)
    os.close(number)


def processes() -> None:
    assert subprocess.run(["cat"], input=b"x", stdout=subprocess.PIPE, check=True).stdout == b"x"
    with subprocess.Popen(["sleep", "60"]) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.001)
        process.kill()
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, child, os.WEXITED)
    calls: list[Callable[[], object]] = [
        lambda: os.waitpid(child, 0),  # not any child: the servers of other tests are some
        lambda: os.waitpid("x", 0),  # type: ignore[arg-type]
    ]
    for call in calls:
        with contextlib.suppress(ChildProcessError, TypeError):
            call()


def data_bases() -> None:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as base:
        base.execute("CREATE TABLE numbers (number)")
        base.executemany("INSERT INTO numbers VALUES (?)", [(number,) for number in range(3)])
        assert len(base.execute("SELECT number FROM numbers").fetchall()) == 3
        base.create_function("absolute", 1, abs)
        list(base.execute("SELECT absolute(number) FROM numbers"))
        base.executescript("BEGIN; COMMIT;")
        with contextlib.suppress(sqlite3.OperationalError):
            base.execute("wrong")


def native_threads() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    timer = threading.Timer(60, int)
    timer.start()
    timer.cancel()
    timer.join()
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        assert executor.submit(int).result() == 0


def native_threads_that_use_points() -> None:
    def work() -> None:
        with threading.Lock():
            time.sleep(0)
        left, right = socket.socketpair()
        with left, right:
            left.send(b"x")
            right.recv(1)
        with contextlib.suppress(queue.Empty):
            queue.SimpleQueue[int]().get(timeout=0.0001)

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: not thread.is_alive())
    thread.join()


def native_threads_with_hubs() -> None:
    def work() -> None:
        left, right = socket.socketpair()
        with left, right:
            waiter = spawn(left.recv, 1)
            sleep(0)
            right.send(b"x")
            waiter.join()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def green_threads_with_locals() -> None:
    own = threading.local()

    def work() -> None:
        own.value = [threading.current_thread(), threading.get_ident()]
        sleep(0)

    joined(*[spawn(work) for _ in range(3)])


def signals() -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        signal.sigtimedwait([signal.SIGUSR2], 0.0001)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        signal.raise_signal(signal.SIGUSR2)
        assert signal.sigwait([signal.SIGUSR2]) == signal.SIGUSR2
        signal.raise_signal(signal.SIGUSR1)
        turns(1)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
        signal.signal(signal.SIGUSR1, before)


CHEAP = [
    locks,
    locks_dropped_with_those_who_wait,
    conditions_and_what_is_made_of_them,
    queues,
    sleeps,
    messages,
    sockets_that_refuse_or_time_out,
    connections,
    datagrams,
    sockets_closed_under_those_who_wait,
    readiness,
    names,
    pipes,
    files_between_descriptors,
    data_bases,
    green_threads_with_locals,
    signals,
]
DEAR = [processes, native_threads, native_threads_that_use_points, native_threads_with_hubs]


def kept() -> tuple[int, int, int]:
    """What must be as it was: greenlets that leaked, waits of the hub, descriptors."""
    return counts()["leaked"], get_hub().waits(), len(open_descriptors())


@pytest.mark.parametrize("act", [*CHEAP, *DEAR], ids=lambda act: act.__name__)
def test_no_memory_no_reference_and_no_descriptor_is_left_by(act: Callable[[], None]) -> None:
    get_hub()
    times = 20 if act in DEAR else scaled(100, least=40)

    def work() -> None:
        for _ in range(times):
            act()
        turns(2)

    work()
    before = kept()
    assert not leaks(work, times // 2)
    assert kept() == before


def test_no_memory_and_no_reference_is_left_by_tls(certificates: Path) -> None:
    made = make_certificates(certificates)
    garbage = ssl.create_default_context()

    def act() -> None:
        client, server = tls_pair(made)
        with client, server:
            reading = spawn(server.recv, 10)
            turns(1)
            client.sendall(b"x")
            joined(reading)
            server.settimeout(0.0001)
            with contextlib.suppress(TimeoutError):
                server.recv(10)
        left, right = socket.socketpair()
        with right:
            right.sendall(b"not TLS at all, and long enough for a record")
            with contextlib.suppress(ssl.SSLError, OSError), left:
                garbage.wrap_socket(left, server_hostname="localhost").close()

    def work() -> None:
        for _ in range(20):
            act()

    assert not leaks(work, 10)
