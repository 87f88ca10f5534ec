"""select.select(), poll and epoll objects, selectors: green threads park, and get the original's answers."""

import os
import resource
import select
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import spawn
from tests.support.runtime import ended, parked

Ask = Callable[[int, float | None], bool]
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(autouse=True)
def _points() -> None:
    _core.get_hub()


@pytest.fixture
def pair() -> Iterator[Pair]:
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def native(function: Callable[..., object], *args: Any) -> Callable[[], Any]:
    """Calls it in an OS thread. What is returned waits for the end, without blocking the hub, and gives the result."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append((function(*args), None))
        except BaseException as fault:
            results.append((None, fault))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> Any:
        while not results:
            _core.sleep(0.001)
        value, fault = results[0]
        if fault is not None:
            raise fault
        return value

    return result


def fill(descriptor: int) -> None:
    """Writes until there is no room."""
    os.set_blocking(descriptor, False)
    try:
        while True:
            os.write(descriptor, b"x" * 65536)
    except BlockingIOError:
        pass


def open_descriptors() -> set[int]:
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}


def by_select(fd: int, timeout: float | None) -> bool:
    return select.select([fd], [], [], timeout)[0] == [fd]


def by_poll(fd: int, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return [each for each, _ in poll.poll(None if timeout is None else timeout * 1000)] == [fd]


def by_epoll(fd: int, timeout: float | None) -> bool:
    with select.epoll() as epoll:
        epoll.register(fd, select.EPOLLIN)
        return epoll.poll(timeout) == [(fd, select.EPOLLIN)]


def by_selector(kind: type[selectors.BaseSelector]) -> Ask:
    def ask(fd: int, timeout: float | None) -> bool:
        with kind() as selector:
            selector.register(fd, selectors.EVENT_READ)
            return [key.fd for key, _ in selector.select(timeout)] == [fd]

    return ask


WAYS: dict[str, Ask] = {
    "select": by_select,
    "poll": by_poll,
    "epoll": by_epoll,
    "DefaultSelector": by_selector(selectors.DefaultSelector),
    "SelectSelector": by_selector(selectors.SelectSelector),
    "PollSelector": by_selector(selectors.PollSelector),
    "EpollSelector": by_selector(selectors.EpollSelector),
}


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def ask(request: pytest.FixtureRequest) -> Ask:
    way: Ask = request.param
    return way


def test_all_points_are_installed() -> None:
    names = {name for name, group, _, on in _core.points() if group == "select" and on}
    assert names == {"select.select", "select.poll.poll", "select.epoll.poll", "select.epoll.close"}


def test_a_green_thread_waits_while_others_run(ask: Ask, pair: Pair) -> None:
    waiter = parked(ask, pair[0].fileno(), None)
    pair[1].send(b"x")
    assert ended(waiter) == [True]


def test_many_green_threads_wait_at_once(ask: Ask) -> None:
    pairs = [socket.socketpair() for _ in range(50)]
    waiters = [parked(ask, left.fileno(), None) for left, _ in pairs]
    for _, right in reversed(pairs):
        right.send(b"x")
    assert ended(*waiters) == [True] * len(pairs)
    for left, right in pairs:
        left.close()
        right.close()


def test_green_threads_that_wait_for_the_same_are_all_woken(ask: Ask, pair: Pair) -> None:
    waiters = [parked(ask, pair[0].fileno(), None) for _ in range(5)]
    pair[1].send(b"x")
    assert ended(*waiters) == [True] * 5


def test_a_wait_ends_at_its_timeout_and_not_before(ask: Ask, pair: Pair) -> None:
    begin = time.monotonic()
    waiter = parked(ask, pair[0].fileno(), 0.05)
    assert ended(waiter) == [False]
    assert time.monotonic() - begin >= 0.05


def test_what_is_ready_is_returned_at_once(ask: Ask, pair: Pair) -> None:
    pair[1].send(b"x")
    assert ask(pair[0].fileno(), 60)
    assert ask(pair[0].fileno(), 0)


def test_the_main_green_thread_waits_as_others_do(ask: Ask, pair: Pair) -> None:
    sender = spawn(pair[1].send, b"x")
    assert ask(pair[0].fileno(), None)
    assert ended(sender) == [1]


def test_the_end_of_a_stream_is_something_to_read(ask: Ask, pair: Pair) -> None:
    waiter = parked(by_select, pair[0].fileno(), None)
    pair[1].shutdown(socket.SHUT_WR)
    assert ended(waiter) == [True]


def test_an_exception_thrown_in_ends_the_wait_and_leaves_no_descriptor(pair: Pair) -> None:
    other = socket.socketpair()
    poll = select.poll()
    poll.register(pair[0], select.POLLIN)
    poll.register(other[0], select.POLLIN)
    before = open_descriptors()
    for call in (lambda: select.select([pair[0], other[0]], [], []), poll.poll, poll.poll):
        waiter = parked(call)
        assert _core.interrupt(waiter, LookupError("enough"))
        with pytest.raises(LookupError, match="enough"):
            ended(waiter)
    assert open_descriptors() == before
    assert poll.poll(0) == []
    for end in other:
        end.close()


def test_a_wait_on_the_hub_greenlet_is_refused(ask: Ask, pair: Pair) -> None:
    faults: list[BaseException | bool] = []

    def on_the_hub() -> None:
        for timeout in (0, 1):
            try:
                faults.append(ask(pair[0].fileno(), timeout))
            except BaseException as fault:
                faults.append(fault)

    _core.get_hub().run_callback(on_the_hub)
    _core.sleep(0)
    assert faults[0] is False
    assert isinstance(faults[1], _core.BlockingSwitchOutError)


def test_points_that_are_off_block_the_thread(ask: Ask, pair: Pair) -> None:
    order: list[str] = []
    other = spawn(order.append, "other")
    assert _core.points_switch("select", False) == 4
    try:
        assert not ask(pair[0].fileno(), 0.01)
        order.append("asked")
    finally:
        _core.points_switch("select", True)
    ended(other)
    assert order == ["asked", "other"]


def test_whoever_asks_all_the_time_lets_others_run(ask: Ask, pair: Pair) -> None:
    done: list[bool] = []
    pair[1].send(b"x")
    other = spawn(done.append, True)
    while not done:
        assert ask(pair[0].fileno(), 0)
    ended(other)


# ---- what is asked for ----


def test_select_tells_what_can_be_written(pair: Pair) -> None:
    fill(pair[0].fileno())
    waiter = parked(select.select, [], [pair[0]], [])
    both = parked(select.select, [pair[0]], [pair[0]], [])
    while select.select([pair[1]], [], [], 0)[0]:
        pair[1].recv(1 << 20)
    assert ended(waiter, both) == [([], [pair[0]], []), ([], [pair[0]], [])]


def test_poll_tells_what_can_be_written() -> None:
    reader, writer = os.pipe()
    fill(writer)
    poll = select.poll()
    poll.register(writer, select.POLLOUT)
    waiter = parked(poll.poll)
    os.read(reader, 1 << 20)
    assert ended(waiter) == [[(writer, select.POLLOUT)]]
    os.close(reader)
    os.close(writer)


def test_urgent_data_is_an_exceptional_condition() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        left = socket.create_connection(server.getsockname())
        right, _ = server.accept()
    poll = select.poll()
    poll.register(left, select.POLLPRI)
    waiters = [parked(select.select, [], [], [left]), parked(poll.poll)]
    right.send(b"x", socket.MSG_OOB)
    assert ended(*waiters) == [([], [], [left]), [(left.fileno(), select.POLLPRI)]]
    left.close()
    right.close()


def test_one_descriptor_may_be_in_several_sets_and_several_times(pair: Pair) -> None:
    fill(pair[0].fileno())
    fd = pair[0].fileno()
    waiter = parked(select.select, [pair[0], fd], [fd], [pair[0]])
    pair[1].send(b"x")
    assert ended(waiter) == [([pair[0], fd], [], [])]


def test_a_hang_up_that_nobody_asked_about_does_not_end_a_wait_nor_keep_it_busy() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    asked = 0

    class Counted:
        def fileno(self) -> int:
            nonlocal asked
            asked += 1
            return reader

    waiter = parked(select.select, [], [], [Counted()], 0.3)
    assert ended(waiter) == [([], [], [])]
    assert asked < 20
    os.close(reader)


def test_after_a_wake_up_for_nothing_a_wait_goes_on() -> None:
    """Somebody else reads what had come, before the one who waited had a turn."""
    pairs = [socket.socketpair() for _ in range(2)]
    left, right = pairs[0]
    poll = select.poll()
    for each, _ in pairs:
        poll.register(each, select.POLLIN)
    waiters = [
        parked(select.select, [left, pairs[1][0]], [], []),
        parked(poll.poll),
        parked(by_select, left.fileno(), None),
    ]
    for _ in range(3):
        thief = spawn(left.recv, 1)
        right.send(b"x")
        ended(thief)
        for _ in range(3):
            _core.sleep(0.001)
        assert not any(waiter.ready() for waiter in waiters)
    right.send(b"x")
    assert ended(*waiters) == [([left], [], []), [(left.fileno(), select.POLLIN)], True]
    for pair in pairs:
        for end in pair:
            end.close()


def test_regular_files_are_always_ready(tmp_path: Path, pair: Pair) -> None:
    with (tmp_path / "file").open("w+b") as file:
        both: list[Any] = [file, pair[0]]
        assert select.select(both, [file], [], None) == ([file], [file], [])
        poll = select.poll()
        poll.register(file, select.POLLIN)
        poll.register(pair[0], select.POLLIN)
        assert poll.poll() == [(file.fileno(), select.POLLIN)]


def test_regular_files_have_no_exceptional_conditions(tmp_path: Path, pair: Pair) -> None:
    with (tmp_path / "file").open("w+b") as file:
        poll = select.poll()
        poll.register(file, select.POLLPRI)
        alone = parked(poll.poll, 50)
        only = parked(select.select, [], [], [file], 0.05)
        beside = parked(select.select, [pair[0]], [], [file])
        assert ended(alone, only) == [[], ([], [], [])]
        pair[1].send(b"x")
        assert ended(beside) == [([pair[0]], [], [])]


def test_nothing_at_all_can_be_waited_for() -> None:
    waiters = [
        parked(select.select, [], [], [], 0.02),
        parked(select.poll().poll, 20),
        parked(select.epoll().poll, 0.02),
    ]
    assert ended(*waiters) == [([], [], []), [], []]


def test_sets_may_be_any_iterables(pair: Pair) -> None:
    left, right = pair
    waiters = [
        parked(select.select, kind([left]), kind([]), kind([])) for kind in (list, tuple, set, iter, dict.fromkeys)
    ]
    right.send(b"x")
    assert ended(*waiters) == [([left], [], [])] * 5


def test_a_set_that_changes_meanwhile_is_waited_for_as_it_was(pair: Pair) -> None:
    wanted = [pair[0]]
    waiter = parked(select.select, wanted, [], [])
    wanted.clear()
    pair[1].send(b"x")
    assert ended(waiter) == [([pair[0]], [], [])]


def test_a_socket_closed_meanwhile_is_told_as_the_original_would() -> None:
    left, right = socket.socketpair()
    fd = left.fileno()
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    waiter = parked(poll.poll, 100)
    left.close()
    assert ended(waiter)[0] in ([], [(fd, select.POLLNVAL)])
    right.close()


def test_two_thousand_descriptors(pair: Pair) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4200:
        pytest.skip(f"needs 4200 descriptors, and the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4200), hard))
    pipes = [os.pipe() for _ in range(2000)]
    poll, epoll = select.poll(), select.epoll()
    for reader, _ in pipes:
        poll.register(reader, select.POLLIN)
        epoll.register(reader, select.EPOLLIN)
    waiters = [parked(poll.poll), parked(epoll.poll)]
    write = _core.original("os", None, "write")  # os.write() itself lets others look before everything is written
    assert write is not None
    for _, writer in pipes:
        write(writer, b"x")
    everything = [(reader, select.POLLIN) for reader, _ in pipes]
    assert ended(waiters[0]) == [everything]
    assert len(ended(waiters[1])[0]) == 1023
    assert sorted(epoll.poll(maxevents=3000)) == sorted(everything)
    epoll.close()
    for reader, writer in pipes:
        os.close(reader)
        os.close(writer)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_with_no_descriptor_left_a_wait_still_works(pair: Pair) -> None:
    other = socket.socketpair()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(open_descriptors()), hard))
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        pass
    try:
        waiter = parked(select.select, [pair[0], other[0]], [], [])
        timed = parked(select.select, [pair[0], other[0]], [], [], 0.02)
        assert ended(timed) == [([], [], [])]
        other[1].send(b"x")
        assert ended(waiter) == [([other[0]], [], [])]
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for end in other:
            end.close()


# ---- poll objects ----


def test_a_second_poll_of_a_poll_object_is_refused_while_the_first_waits(
    pair: Pair,
) -> None:
    poll = select.poll()
    poll.register(pair[0], select.POLLIN)
    waiter = parked(poll.poll)
    for timeout in (None, 0, 10):
        with pytest.raises(RuntimeError, match=r"^concurrent poll\(\) invocation$"):
            poll.poll(timeout)
    with pytest.raises(RuntimeError, match=r"^concurrent poll\(\) invocation$"):
        native(poll.poll, 0)()
    pair[1].send(b"x")
    assert ended(waiter) == [[(pair[0].fileno(), select.POLLIN)]]
    assert poll.poll(0) == [(pair[0].fileno(), select.POLLIN)]


def test_a_poll_is_refused_while_a_native_thread_waits(pair: Pair) -> None:
    poll = select.poll()
    poll.register(pair[0], select.POLLIN)
    result = native(poll.poll)
    refusal = ""
    while not refusal:
        try:
            poll.poll(1)
        except RuntimeError as fault:
            refusal = str(fault)
    assert refusal == "concurrent poll() invocation"
    pair[1].send(b"x")
    assert result() == [(pair[0].fileno(), select.POLLIN)]


def test_a_poll_object_may_be_changed_while_somebody_waits(pair: Pair) -> None:
    other = socket.socketpair()
    poll = select.poll()
    poll.register(pair[0], select.POLLIN)
    poll.register(other[0], select.POLLIN)
    waiter = parked(poll.poll)
    poll.unregister(pair[0])
    pair[1].send(b"x")
    for _ in range(3):
        _core.sleep(0.001)
    other[1].send(b"x")
    assert ended(waiter) == [[(other[0].fileno(), select.POLLIN)]]
    for end in other:
        end.close()


# ---- epoll objects ----


def test_epoll_takes_its_arguments_by_position_and_name(pair: Pair) -> None:
    other = socket.socketpair()
    ends = (pair[0], other[0])
    event = {end.fileno(): select.EPOLLIN for end in ends}
    with select.epoll() as epoll:
        for end in ends:
            epoll.register(end, select.EPOLLIN)
        assert ended(parked(epoll.poll, 0.01), parked(epoll.poll, 0.01, 1)) == [[], []]
        assert ended(parked(lambda: epoll.poll(maxevents=1, timeout=0.01))) == [[]]
        waiter = parked(lambda: epoll.poll(maxevents=1))
        pair[1].send(b"x")
        assert ended(waiter) == [[(pair[0].fileno(), select.EPOLLIN)]]
        other[1].send(b"x")
        assert dict(epoll.poll()) == event
        assert dict(epoll.poll(-1)) == event
        assert len(epoll.poll(timeout=None, maxevents=1)) == 1
        assert len(epoll.poll(5, maxevents=1)) == 1
    for end in other:
        end.close()


def test_closing_an_epoll_object_ends_the_waits_on_it(pair: Pair) -> None:
    def leave(epoll: select.epoll) -> None:
        with epoll:
            pass

    closings: list[Callable[[select.epoll], Any]] = [
        select.epoll.close,
        leave,
        lambda epoll: native(epoll.close)(),
    ]
    for closing in closings:
        epoll = select.epoll()
        epoll.register(pair[0], select.EPOLLIN)
        waiters = [parked(epoll.poll), parked(epoll.poll, 60)]
        closing(epoll)
        for waiter in waiters:
            with pytest.raises(ValueError, match=r"^I/O operation on closed epoll object$"):
                ended(waiter)


def test_what_becomes_known_to_an_epoll_object_meanwhile_wakes(pair: Pair) -> None:
    pair[1].send(b"x")
    with select.epoll() as epoll:
        waiter = parked(epoll.poll)
        epoll.register(pair[0], select.EPOLLIN)
        assert ended(waiter) == [[(pair[0].fileno(), select.EPOLLIN)]]


@pytest.mark.parametrize("flags", [select.EPOLLET, select.EPOLLONESHOT])
def test_an_event_that_comes_once_is_not_lost(flags: int, pair: Pair) -> None:
    with select.epoll() as epoll:
        epoll.register(pair[0], select.EPOLLIN | flags)
        waiter = parked(epoll.poll)
        pair[1].send(b"x")
        assert ended(waiter) == [[(pair[0].fileno(), select.EPOLLIN)]]
        assert ended(parked(epoll.poll, 0.01)) == [[]]


def test_an_epoll_object_is_itself_a_descriptor_to_wait_for(ask: Ask, pair: Pair) -> None:
    with select.epoll() as inner, select.epoll() as middle:
        inner.register(pair[0], select.EPOLLIN)
        middle.register(inner, select.EPOLLIN)
        waiters = [parked(ask, inner.fileno(), None), parked(ask, middle.fileno(), None)]
        pair[1].send(b"x")
        assert ended(*waiters) == [True, True]


def test_native_and_green_threads_share_an_epoll_object(pair: Pair) -> None:
    event = [(pair[0].fileno(), select.EPOLLIN)]
    with select.epoll() as epoll:
        epoll.register(pair[0], select.EPOLLIN)
        green = parked(epoll.poll)
        result = native(epoll.poll)
        native(pair[1].send, b"x")()
        assert ended(green) == [event]
        assert result() == event


def test_one_shot_events_go_to_native_and_green_threads_once_each(pair: Pair) -> None:
    rounds = 40
    taken: list[str] = []
    with select.epoll() as epoll:
        epoll.register(pair[0], select.EPOLLIN | select.EPOLLONESHOT)

        def work(name: str) -> None:
            while len(taken) < rounds:
                for _ in epoll.poll(0.01):
                    pair[0].recv(1)
                    taken.append(name)
                    epoll.modify(pair[0], select.EPOLLIN | select.EPOLLONESHOT)

        workers = [spawn(work, "green") for _ in range(3)]
        result = native(work, "native")
        for sent in range(1, rounds + 1):
            pair[1].send(b"x")
            while len(taken) < sent:
                _core.sleep(0.001)
        ended(*workers)
        result()
    assert len(taken) == rounds


def test_a_native_thread_waits_natively_for_what_a_green_one_sends(ask: Ask, pair: Pair) -> None:
    result = native(ask, pair[0].fileno(), None)
    ended(spawn(pair[1].send, b"x"))
    assert result() is True


def test_a_green_thread_is_woken_by_what_a_native_thread_sends(ask: Ask, pair: Pair) -> None:
    waiter = parked(ask, pair[0].fileno(), None)
    native(pair[1].send, b"x")()
    assert ended(waiter) == [True]
