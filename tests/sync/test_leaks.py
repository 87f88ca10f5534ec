"""What waits and what holds leaves nothing behind: each public class, made, waited on in every way and dropped.

Blocks of the object allocator are counted, and on a debug build the references too (`tests.support.memory.leaks`).
Greenlets, links, timeouts and kills are in test_greenlet_leaks.
"""

import contextlib
import io
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest

import gossamer
from gossamer import (
    Greenlet,
    backdoor,
    event,
    fileobject,
    get_hub,
    hub,
    local,
    lock,
    pool,
    pywsgi,
    queue,
    server,
    sleep,
    spawn,
    switching,
    threadpool,
    util,
)
from gossamer._core import counts
from gossamer.resolver.thread import Resolver
from tests.support.memory import forget_methods, leaks
from tests.support.runtime import joined, open_descriptors, reported, turns, until
from tests.support.scale import scaled

LOOPBACK = ("127.0.0.1", 0)
Act = Callable[[], None]


def waited_on(wait: Callable[..., Any], wake: Callable[[], object]) -> None:
    """One waits until it is woken, one until it is killed, one until its time is over."""
    with reported():
        crowd = [spawn(wait), spawn(wait), spawn(wait, timeout=0.0001)]
        turns(1)
        crowd[0].kill()
        with contextlib.suppress(queue.Empty, queue.Full):
            crowd[2].get()
        wake()
        crowd[1].join()
        turns(1)


def an_event() -> None:
    it = event.Event()
    waited_on(it.wait, it.set)
    it.clear()
    it.rawlink(int)
    it.unlink(int)
    it.rawlink(lambda it: None)
    it.set()
    turns(1)


def an_asynchronous_result() -> None:
    it: event.AsyncResult[list[int]] = event.AsyncResult()
    waited_on(it.wait, lambda: it.set([1]))
    assert it.get() == [1]
    failed: event.AsyncResult[int] = event.AsyncResult()
    failed.set_exception(LookupError([1]))
    for _ in range(2):
        with contextlib.suppress(LookupError):
            failed.get()
    linked: event.AsyncResult[int] = event.AsyncResult()
    spawn([].pop).link(linked)
    with reported(), contextlib.suppress(IndexError):
        linked.get()


def semaphores() -> None:
    for kind in (lock.Semaphore, lock.BoundedSemaphore):
        it = kind(1)
        it.acquire()
        waited_on(it.acquire, lambda it=it: it.release())  # type: ignore[misc]
        it.release()
        it.rawlink(int)
        it.unlink(int)
        with contextlib.suppress(ValueError):
            it.release()
        with it:
            it.acquire(blocking=False)
    with lock.DummySemaphore() as nothing:
        assert nothing is None


def a_lock_of_one_owner() -> None:
    it = lock.RLock()
    with it, it:
        waiter = spawn(it.acquire)
        turns(1)
        waiter.kill()
        assert not spawn(it.acquire, timeout=0.0001).get()
    with contextlib.suppress(RuntimeError):
        it.release()


def queues() -> None:
    for kind in (queue.SimpleQueue, queue.Queue, queue.LifoQueue, queue.PriorityQueue):
        it: Any = kind(1)
        waited_on(it.get, lambda it=it: it.put([1]))  # type: ignore[misc]
        it.put([1])
        waited_on(lambda it=it, **limits: it.put([2], **limits), it.get)
        it.copy(), it.peek(), len(it), repr(it)
    left: queue.Queue[list[int]] = queue.Queue(items=[[1], [2]])
    list(zip(range(2), left, strict=False))
    with contextlib.suppress(ValueError):
        for _ in range(5):
            left.task_done()
    left.shutdown()
    with contextlib.suppress(queue.ShutDown):
        left.get()


def a_channel() -> None:
    it: queue.Channel[list[int]] = queue.Channel()
    waited_on(it.get, lambda: it.put([1]))
    waited_on(lambda **limits: it.put([2], **limits), it.get)


def groups_and_pools() -> None:
    for it in (pool.Group(), pool.Pool(2)):
        assert it.map(abs, range(-3, 3)) == [3, 2, 1, 0, 1, 2]
        assert list(it.imap(abs, [-1])) == list(it.imap_unordered(abs, [-1])) == [1]
        it.apply_async(int, callback=lambda value: None).get()
        assert it.map_async(abs, [-1]).get() == [1]
        with reported(), contextlib.suppress(IndexError):
            it.apply([].pop)
        it.spawn(sleep, 60)
        turns(1)
        it.kill()
    full = pool.Pool(1)
    full.spawn(sleep, 60)
    with contextlib.suppress(pool.PoolFull):
        full.add(Greenlet(int), blocking=False)
    full.kill()
    next(full.imap(abs, range(5)))
    turns(6)
    full.join()


def a_pool_of_threads() -> None:
    it = threadpool.ThreadPool(2)
    assert it.apply(abs, (-1,)) == 1 and it.map(abs, [-1, -2]) == [1, 2]
    with reported(), contextlib.suppress(IndexError):
        it.spawn([].pop).get()
    it.join()
    it.kill()
    with threadpool.ThreadPoolExecutor(1) as executor:
        assert executor.submit(abs, -1).result() == 1


def the_hubs_own_threads() -> None:
    threads = get_hub().threadpool
    threads.apply(int)
    waiter = spawn(threads.apply, sleep, (0.0001,))
    turns(1)
    waiter.kill()
    threads.join()


class Own(local.local):
    def __init__(self, value: object) -> None:
        self.first = value


OWN = Own([1])


def values_of_each_greenlet() -> None:
    shared = local.local()
    shared.value = [1]
    for it in (shared, OWN):
        joined(*[spawn(setattr, it, "value", [number]) for number in range(3)])
    del shared.value
    with contextlib.suppress(AttributeError):
        shared.value


def files() -> None:
    for kind in (fileobject.FileObjectPosix, fileobject.FileObjectBlock, fileobject.FileObjectThread):
        reading, writing = os.pipe()
        with kind(reading, "rb") as source:
            with kind(writing, "wb", 0) as sink:
                sink.write(b"one\ntwo")
            assert source.readline() == b"one\n" and list(source) == [b"two"]
    with contextlib.suppress(ValueError, OSError, TypeError):
        fileobject.FileObjectPosix(-1)


def names_looked_up() -> None:
    it = Resolver()
    it.getaddrinfo("127.0.0.1", 80)
    it.gethostbyname("localhost")
    with contextlib.suppress(OSError):
        it.getaddrinfo("no such name.", 80)
    it.close()


def watchers_of_time_and_descriptors() -> None:
    loop = get_hub().loop
    left, right = socket.socketpair()
    with left, right:
        readable = loop.io(left.fileno(), 1)
        readable.start(int)
        readable.stop()
        readable.close()
        readable = loop.io(left.fileno(), 1)
        right.send(b"x")
        get_hub().wait(readable)
        readable.close()
    for timer in (loop.timer(0.0001), loop.timer(0, 60)):
        timer.start(int)
        timer.again(int)
        timer.close()
    loop.run_callback(int).stop()


def watchers_of_what_happens_seldom() -> None:
    loop = get_hub().loop
    made: list[Any] = [loop.idle(), loop.prepare(), loop.check(), loop.fork(), loop.async_(), loop.stat("/", 60)]
    made += [loop.signal(signal.SIGUSR2), loop.child(os.posix_spawn("/bin/true", ["true"], {}))]
    for it in made:
        it.start(int)
    called: list[int] = []
    made[4].callback = called.append
    made[4].args = (1,)
    made[4].send()
    try:
        until(lambda: called)
        until(lambda: not made[-1].active)
    finally:
        for it in made:
            it.stop()
            it.close()


def a_handler_of_signals() -> None:
    it = hub.signal(signal.SIGUSR2, int)
    it.cancel()


def a_hand_over() -> None:
    waiter: hub.Waiter = hub.Waiter()
    waited = spawn(waiter.get)
    turns(1)
    waiter.switch([1])
    assert waited.get() == [1]
    failed = hub.Waiter()
    failed.throw(LookupError, LookupError([1]))
    with contextlib.suppress(LookupError):
        failed.get()


def waits_for_many() -> None:
    ready, never = event.Event(), event.Event()
    ready.set()
    assert gossamer.wait([ready, never], count=1) == [ready]
    assert gossamer.wait([never], timeout=0.0001) == []
    with gossamer.iwait([ready, never]) as found:
        next(found)
    assert gossamer.with_timeout(0.0001, never.wait, timeout_value=1) == 1


def introspection() -> None:
    it = spawn(sleep, 60)
    turns(1)
    str(util.GreenletTree.forest())
    util.GreenletTree.current_tree().format(details=True)
    util.print_run_info(file=io.StringIO())
    it.kill()
    assert isinstance(util.wrap_errors(IndexError, [].pop)(), IndexError)


def greenlets_switched_by_hand() -> None:
    it = switching.greenlet(lambda: switching.getcurrent().parent.switch([1]))  # type: ignore[union-attr]
    it.switch()


def a_server_of_streams() -> None:
    def handle(connection: socket.socket, address: object) -> None:
        connection.sendall(connection.recv(10))

    with server.StreamServer(LOOPBACK, handle) as it:
        it.start()
        with socket.create_connection(it.address) as client:
            client.sendall(b"x")
            assert client.recv(10) == b"x"
            assert client.recv(10) == b""


def a_server_of_datagrams() -> None:
    def handle(data: bytes, address: object) -> None:
        it.sendto(data, address)

    with server.DatagramServer(LOOPBACK, handle) as it, socket.socket(type=socket.SOCK_DGRAM) as client:
        it.start()
        client.sendto(b"x", it.address)
        client.recv(10)


def a_server_of_requests() -> None:
    def application(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        return [environ["wsgi.input"].read() or b"ok"]

    with pywsgi.WSGIServer(LOOPBACK, application, log=None) as it:
        it.start()
        with socket.create_connection(("127.0.0.1", it.server_port)) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nin")
            assert client.makefile("rb").read().endswith(b"\r\n\r\nin")


def a_back_door() -> None:
    with backdoor.BackdoorServer(LOOPBACK) as it:
        it.start()
        with socket.create_connection(it.address) as client:
            client.sendall(b"quit()\r\n")
            client.makefile("rb").read()


CHEAP: list[Act] = [
    an_event,
    an_asynchronous_result,
    semaphores,
    a_lock_of_one_owner,
    queues,
    a_channel,
    groups_and_pools,
    the_hubs_own_threads,
    values_of_each_greenlet,
    files,
    names_looked_up,
    watchers_of_time_and_descriptors,
    a_handler_of_signals,
    a_hand_over,
    waits_for_many,
    greenlets_switched_by_hand,
]
DEAR: list[Act] = [
    introspection,
    a_pool_of_threads,
    watchers_of_what_happens_seldom,
    a_server_of_streams,
    a_server_of_datagrams,
    a_server_of_requests,
    a_back_door,
]


# They open text files: codecs looks the parts of an encoding up by strings that it makes anew each time, and the
# interpreter's cache of methods keeps about two of each file's until it is full.
TEXTUAL: list[Act] = [a_back_door]


def kept() -> tuple[int, int, int]:
    """What must be as it was: greenlets that leaked, waits of the hub, descriptors."""
    return counts()["leaked"], get_hub().waits(), len(open_descriptors())


@pytest.mark.parametrize("act", [*CHEAP, *DEAR], ids=lambda act: act.__name__)
def test_no_memory_no_reference_and_no_descriptor_is_left_by(act: Act) -> None:
    times = 20 if act in DEAR else scaled(100, least=40)

    def work() -> None:
        for _ in range(times):
            act()
        turns(2)

    work()
    before = kept()
    assert not leaks(work, times // 2, settle=forget_methods if act in TEXTUAL else int)
    until(lambda: all(now <= then for now, then in zip(kept(), before, strict=True)))
