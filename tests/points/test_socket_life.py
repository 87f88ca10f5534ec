"""Descriptors are closed, used again, shared and forked; nobody is left waiting, and nobody gets what is another's."""

import errno
import gc
import os
import socket
import warnings
from collections.abc import Callable

import pytest

from gossamer import _core
from gossamer._core import get_hub, sleep, spawn, wait_read
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, beside, joined, open_descriptors, turns, until
from tests.support.scale import scaled


@pytest.fixture(autouse=True)
def _points() -> None:
    get_hub()


ENDS: dict[str, Callable[[socket.socket], object]] = {
    "close": lambda it: it.close(),
    "detach and close": lambda it: os.close(it.detach()),
    "os.close": lambda it: os.close(it.fileno()),
    "os.closerange": lambda it: os.closerange(it.fileno(), it.fileno() + 1),
    "os.dup2": lambda it: onto(it.fileno()),
}


def onto(descriptor: int) -> None:
    """Let the number stand for another file."""
    other = os.open("/dev/null", os.O_RDONLY)
    os.dup2(other, descriptor)
    os.close(other)


def gone(it: socket.socket, how: str) -> None:
    """Take the number away, once more, from an object that may think that it still has it."""
    if how == "os.dup2":
        it.close()
    else:
        it.detach()


@pytest.mark.parametrize("how", ENDS)
def test_those_who_wait_for_a_socket_that_goes_away_get_a_bad_descriptor(how: str) -> None:
    left, right = socket.socketpair()
    with left:
        readers = [spawn(right.recv, 1), spawn(right.recvfrom, 1), spawn(right.recv_into, bytearray(1))]
        turns()
        ENDS[how](right)
        until(lambda: all(it.ready() for it in readers))
        assert {getattr(it.exception, "errno", None) for it in readers} == {errno.EBADF}
        gone(right, how)


def test_those_who_accept_and_write_get_it_too() -> None:
    left, right = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    with left:
        waiting = [spawn(right.sendall, bytes(10_000_000)), spawn(listener.accept)]
        turns()
        right.close()
        listener.close()
        until(lambda: all(it.ready() for it in waiting))
        assert {getattr(it.exception, "errno", None) for it in waiting} == {errno.EBADF}


def test_closing_in_a_native_thread_wakes_a_green_one() -> None:
    left, right = socket.socketpair()
    with left:
        reader = spawn(right.recv, 1)
        turns()
        with beside(right.close):
            until(reader.ready)
        assert getattr(reader.exception, "errno", None) == errno.EBADF


def test_a_duplicate_goes_on_when_the_first_is_closed() -> None:
    left, right = socket.socketpair()
    with left, right.dup() as copy:
        first, second = spawn(right.recv, 1), spawn(copy.recv, 1)
        turns()
        right.close()
        until(first.ready)
        assert not second.ready()
        left.send(b"x")
        assert joined(second) == [b"x"]


def test_two_objects_of_one_number_wait_beside_each_other() -> None:
    left, right = socket.socketpair()
    with left, right:
        first = spawn(right.recv, 1)
        turns()
        same = socket.socket(fileno=right.fileno())
        second = spawn(same.recv, 1)
        turns()
        left.send(b"xy")
        assert joined(first, second) == [b"x", b"y"]
        third = spawn(right.recv, 1)
        turns()
        same.detach()
        turns()
        assert not third.ready()
        left.send(b"z")
        assert joined(third) == [b"z"]


def test_a_number_used_again_at_once_starts_afresh() -> None:
    for _ in range(scaled(300, least=50)):
        left, right = socket.socketpair()
        reader = spawn(right.recv, 10)
        turns(1)
        left.send(b"x")
        assert joined(reader) == [b"x"]
        left.send(b"unread")
        turns(1)
        left.close()
        right.close()


def test_a_number_whose_socket_was_collected_unclosed_starts_afresh() -> None:
    gc.freeze()  # what the whole suite has left need not be looked through each time
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) * 20:
            left, right = socket.socketpair(type=kind)
            reader = spawn(right.recv, 10)
            turns()
            left.send(b"x")
            joined(reader)
            del left, right, reader
            gc.collect()
    gc.unfreeze()


def test_a_number_closed_behind_our_back_starts_afresh() -> None:
    close = _core.original("posix", None, "close")
    for _ in range(20):
        left, right = socket.socketpair()
        reader = spawn(right.recv, 10)
        turns()
        left.send(b"x")
        joined(reader)
        close(left.detach())
        number = right.fileno()
        close(number)
        fresh = socket.socketpair()
        gone_with_it = right.detach()
        assert gone_with_it in {it.fileno() for it in fresh}
        reader = spawn(fresh[1].recv, 10)
        turns()
        fresh[0].send(b"fresh")
        assert joined(reader) == [b"fresh"]
        for it in fresh:
            it.close()


def test_a_pipe_under_the_number_of_a_socket_can_be_waited_for() -> None:
    close = _core.original("posix", None, "close")
    left, right = socket.socketpair()
    with left:
        reader = spawn(right.recv, 10)
        turns()
        left.send(b"x")
        joined(reader)
        close(right.detach())
        ends = os.pipe()
        waiting = spawn(wait_read, ends[0])
        turns()
        os.write(ends[1], b"x")
        assert joined(waiting) == [True]
        for end in ends:
            os.close(end)


def test_one_who_waits_for_the_number_alone_sees_what_is_left_unread() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.send(b"xy")
        assert right.recv(1) == b"x"
        assert joined(spawn(wait_read, right.fileno())) == [True]
        reader = spawn(right.recv, 10)
        assert joined(reader) == [b"y"]
        both = [spawn(wait_read, right.fileno()), spawn(right.recv, 10)]
        turns()
        left.send(b"z")
        assert joined(*both) == [True, b"z"]


def test_storms_of_connections_leave_no_descriptor_behind() -> None:
    before = open_descriptors()
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:

        def serve() -> None:
            for _ in range(5 * count):
                connection, _ = listener.accept()
                spawn(answer, connection)

        def answer(connection: socket.socket) -> None:
            with connection:
                connection.sendall(connection.recv(100))

        def talk(number: int) -> None:
            for turn in range(5):
                with socket.create_connection(listener.getsockname()) as client:
                    client.sendall(b"%d.%d" % (number, turn))
                    assert client.recv(100) == b"%d.%d" % (number, turn)

        count = scaled(100, least=20)
        server = spawn(serve)
        joined(*[spawn(talk, number) for number in range(count)], server)
    until(lambda: open_descriptors().keys() == before.keys())


def test_a_forked_child_waits_on_its_own() -> None:
    out = output_of(
        PRELUDE
        + """
left, right = socket.socketpair()
other = socket.socketpair()
get_hub()
reader = spawn(right.recv, 10)
quiet = spawn(other[1].recv, 10)
turns()
left.send(b"before")
joined(reader)
reader = spawn(right.recv, 10)
turns()
def check():
    mine = socket.socketpair()
    own = spawn(mine[1].recv, 10)
    turns()
    mine[0].send(b"mine")
    assert joined(own) == [b"mine"]
    other[0].shutdown(socket.SHUT_WR)
    assert joined(quiet) == [b""]
    right.close()
    until(reader.ready)
child = os.fork()
if not child:
    leave(check)
wait_for(child)
left.send(b"parent")
assert joined(reader) == [b"parent"]
assert joined(quiet) == [b""]
print("both")
"""
    )
    assert out == "both\n"


def test_threads_with_hubs_of_their_own_share_a_socket() -> None:
    left, right = socket.socketpair()
    with left, right:
        received: list[bytes] = []

        def read_there() -> None:
            get_hub()

            def read() -> None:
                while data := right.recv(1):
                    received.append(data)

            joined(spawn(read), spawn(read))

        def read_here() -> None:
            while data := right.recv(1):
                received.append(data)

        with beside(read_there):
            reader = spawn(read_here)
            for number in range(100):
                left.send(b"%c" % number)
                if number % 10 == 0:
                    sleep(0.001)
            left.shutdown(socket.SHUT_WR)
            joined(reader)
        assert sorted(received) == [b"%c" % number for number in range(100)]


def test_a_close_here_wakes_a_green_thread_of_another_hub() -> None:
    left, right = socket.socketpair()
    errors: list[BaseException | None] = []
    with left:

        def read_there() -> None:
            reader = spawn(right.recv, 1)
            reader.join()
            errors.append(reader.exception)

        with beside(read_there):
            sleep(0.02)
            right.close()
        assert [getattr(error, "errno", None) for error in errors] == [errno.EBADF]


def test_interpreter_exit_with_sockets_waited_for_is_quiet() -> None:
    out = output_of(
        """
        import socket
        from gossamer._core import sleep, spawn
        left, right = socket.socketpair()
        listener = socket.create_server(("127.0.0.1", 0))
        waiting = [spawn(right.recv, 1), spawn(listener.accept), spawn(left.sendall, bytes(10_000_000))]
        sleep(0.01)
        print("end")
        """
    )
    assert out == "end\n"


@pytest.mark.parametrize("how", ["os.closerange(3, 4096)", "os.closerange(-5, 4096)", "close_one_by_one()"])
def test_a_daemon_that_closes_all_descriptors_goes_on(how: str) -> None:
    out = output_of(
        PRELUDE
        + f"""
import socket

def close_one_by_one():
    for descriptor in range(3, 4096):
        try:
            os.close(descriptor)
        except OSError:
            pass

sleep(0.001)
left, right = socket.socketpair()
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
reader = spawn(right.recv, 1)
sleep(0.001)
{how}
reader.join()
assert reader.exception.errno == 9, reader.exception
for end in (left, right):
    end.detach()
sleep(0.01)
here, there = socket.socketpair()
reader = spawn(there.recv, 1)
sleep(0.001)
here.send(b"x")
reader.join()
assert reader.value == b"x"
os._exit(0)
"""
    )
    assert out == ""


def test_a_hub_makes_way_for_whom_dup2_puts_in_its_descriptors_place() -> None:
    out = output_of(
        """
        import os, signal, socket, threading
        from gossamer._core import get_hub, sleep, spawn, WaitQueue
        left, right = socket.socketpair()
        reader = spawn(right.recv, 1)
        sleep(0.001)
        epoll = get_hub().fileno()
        eventfd = next(
            number for number in map(int, os.listdir("/proc/self/fd"))
            if number != epoll and os.path.exists(f"/proc/self/fd/{number}")
            and os.readlink(f"/proc/self/fd/{number}") == "anon_inode:[eventfd]"
        )
        reading, writing = os.pipe()
        for number in (epoll, eventfd):
            assert os.dup2(writing, number) == number
            os.write(number, b"x")
        assert os.read(reading, 9) == b"xx" and get_hub().fileno() != epoll
        left.send(b"y")
        reader.join()
        queue = WaitQueue()
        waiter = spawn(queue.park)
        sleep(0)
        threading.Thread(target=queue.unpark).start()
        waiter.join()
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        signal.pause()
        os.set_blocking(reading, False)
        try:
            print(os.read(reading, 9))
        except BlockingIOError:
            print(reader.value, "and nothing of the hub's in the pipe")
        """
    )
    assert out == "b'y' and nothing of the hub's in the pipe\n"


def test_the_bounds_of_closerange_are_judged_as_ever() -> None:
    os.closerange(5, 5)
    os.closerange(7, 3)
    with pytest.raises(OverflowError):
        os.closerange(-(2**100), 3)
    with pytest.raises(OverflowError):
        os.closerange(3, 2**100)
    with pytest.raises(TypeError):
        os.closerange("3", 4)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        os.closerange(3)  # type: ignore[call-arg]
