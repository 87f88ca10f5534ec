"""The points of select reach what was imported, made and run before Gossamer, and asyncio."""

import pytest

from tests.support.children import output_of

BEFORE = """
from select import epoll, poll, select, EPOLLIN, POLLIN
import selectors, socket, sys

left, right = socket.socketpair()
early_poll, early_epoll, early_selector = poll(), epoll(), selectors.DefaultSelector()
early_poll.register(left, POLLIN)
early_epoll.register(left, EPOLLIN)
early_selector.register(left, selectors.EVENT_READ)
bound_poll, bound_epoll = early_poll.poll, early_epoll.poll

def ask_select(timeout):
    return select([left], [], [], timeout)[0]
def ask_poll(timeout):
    return early_poll.poll(timeout)
def ask_epoll(timeout):
    return early_epoll.poll(timeout)
def ask_bound_poll(timeout):
    return bound_poll(timeout)
def ask_bound_epoll(timeout):
    return bound_epoll(timeout)
def ask_selector(timeout):
    return early_selector.select(timeout)
ways = [ask_select, ask_poll, ask_epoll, ask_bound_poll, ask_bound_epoll, ask_selector]
"""

HOT = """
for way in ways:
    for _ in range(2000):
        way(0)
"""

AFTER = """
from gossamer import _core
for way in ways:
    waiter = _core.spawn(way, None)
    for _ in range(3):
        _core.sleep(0)
    parked = not waiter.ready()
    right.send(b'x')
    waiter.join(timeout=60)
    left.recv(1)
    print(way.__name__, parked, len(waiter.value))
"""

EXPECTED = [f"ask_{way} True 1" for way in ("select", "poll", "epoll", "bound_poll", "bound_epoll", "selector")]


@pytest.mark.parametrize("hot", ["", HOT], ids=["cold", "hot"])
@pytest.mark.parametrize("first", ["", "import gossamer._core", "from gossamer import _core; _core.get_hub()"])
def test_references_call_sites_and_objects_from_before_park(first: str, hot: str) -> None:
    assert output_of(first + BEFORE + hot + AFTER).splitlines() == EXPECTED


def test_asyncio_runs_in_a_green_thread_while_others_run() -> None:
    out = output_of(
        """
        import asyncio
        from gossamer import _core

        order = []

        async def inside():
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            loop.call_later(0.01, future.set_result, 'timer')
            order.append(await future)
            while turns < 4:
                await asyncio.sleep(0.001)
            woken = loop.create_future()
            def outside():
                order.append('outside')
                loop.call_soon_threadsafe(woken.set_result, 'woken')
            _core.spawn(outside)
            order.append(await woken)
            server = await asyncio.start_server(serve, '127.0.0.1', 0)
            address = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b'hello\\n')
            order.append((await reader.readline()).decode().strip())
            writer.close()
            server.close()

        async def serve(reader, writer):
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()

        turns = 0
        def others():
            global turns
            while not runner.ready():
                turns += 1
                _core.sleep(0.001)

        runner = _core.spawn(asyncio.run, inside())
        other = _core.spawn(others)
        runner.join(timeout=60)
        other.join(timeout=60)
        if runner.exception:
            raise runner.exception
        print(order)
        """
    )
    assert out == "['timer', 'outside', 'woken', 'HELLO']\n"


def test_an_asyncio_loop_that_is_never_idle_lets_other_green_threads_run() -> None:
    out = output_of(
        """
        import asyncio
        from gossamer import _core

        done = []

        async def busy():
            while not done:
                await asyncio.sleep(0)

        def other():
            for _ in range(3):
                _core.sleep(0)
            done.append(True)

        runner = _core.spawn(asyncio.run, busy())
        _core.spawn(other)
        runner.join(timeout=60)
        print(runner.successful())
        """
    )
    assert out == "True\n"


def test_a_signal_is_handled_while_everybody_waits() -> None:
    out = output_of(
        """
        import os, select, signal, threading, time
        from gossamer import _core

        left, right = os.pipe()
        poll = select.poll()
        poll.register(left, select.POLLIN)
        signal.signal(signal.SIGUSR1, lambda *_: os.write(right, b'x'))
        waiter = _core.spawn(poll.poll)
        _core.sleep(0)
        os.kill(os.getpid(), signal.SIGUSR1)
        print(select.select([left], [], [], 60)[0] == [left])
        waiter.join(timeout=60)
        print(waiter.value == [(left, select.POLLIN)])
        """
    )
    assert out == "True\nTrue\n"


def test_waits_go_on_in_parent_and_child_of_a_fork() -> None:
    out = output_of(
        """
        import os, select, socket, warnings
        from gossamer import _core

        warnings.simplefilter('ignore')
        pairs = [socket.socketpair() for _ in range(2)]
        poll, epoll = select.poll(), select.epoll()
        for left, _ in pairs:
            poll.register(left, select.POLLIN)
            epoll.register(left, select.EPOLLIN)
        waiters = [_core.spawn(poll.poll), _core.spawn(epoll.poll),
                   _core.spawn(select.select, [left for left, _ in pairs], [], [])]
        for _ in range(3):
            _core.sleep(0)
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), [waiter.ready() for waiter in waiters])
        pairs[0][1].send(b'x')
        for waiter in waiters:
            waiter.join(timeout=10)
        good = all(waiter.successful() for waiter in waiters)
        if not child:
            pairs[0][0].recv(1)
            os._exit(0 if good else 1)
        print(good)
        """
    )
    assert out.splitlines()[0].startswith("0 ")
    assert out.splitlines()[1] == "True"


def test_a_process_ends_with_green_threads_parked_in_every_way() -> None:
    out = output_of(
        """
        import os, select
        from gossamer import _core
        pipes = [os.pipe() for _ in range(3)]
        readers = [reader for reader, _ in pipes]
        poll, epoll = select.poll(), select.epoll()
        for reader in readers:
            poll.register(reader, select.POLLIN)
            epoll.register(reader, select.EPOLLIN)
        for call in (poll.poll, epoll.poll, lambda: select.select(readers, [], []), lambda: os.read(readers[0], 1)):
            _core.spawn(call)
        for _ in range(3):
            _core.sleep(0)
        print('end')
        """
    )
    assert out == "end\n"


def test_a_select_that_has_woken_for_nothing_goes_on_in_a_forked_child() -> None:
    out = output_of(
        """
        import os, select
        from gossamer import _core
        from gossamer._core import sleep, spawn

        hung_up, other_end = os.pipe()
        os.close(other_end)
        reader, writer = os.pipe()
        told, tell = os.pipe()
        waiter = spawn(select.select, [reader], [], [hung_up])
        sleep(0.02)                  # the hang-up, which is not asked for, has woken it once
        assert not waiter.ready()
        child = os.fork()
        if child == 0:
            _core.original('os', None, 'read')(told, 1)
            waiter.join(timeout=10)
            os._exit(0 if waiter.ready() else 1)
        os.write(writer, b'x')
        waiter.join()
        os.write(tell, b'x')
        print(waiter.value == ([reader], [], []), os.waitpid(child, 0)[1])
        """
    )
    assert out == "True 0\n"
