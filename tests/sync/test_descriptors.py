"""Functions for descriptors with gevent's names, and modules that hand the standard library's names on."""

import errno
import importlib
import os
import socket
from collections.abc import Callable, Iterator

import pytest

import gossamer
from gossamer import get_hub
from gossamer import os as green_os
from gossamer import socket as green_socket
from gossamer._core import spawn
from gossamer.exceptions import ConcurrentObjectUseError
from tests.support.runtime import joined, reported, turns

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe's two ends, closed afterwards."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("wait", [green_socket.wait_read, green_socket.wait_readwrite])
def test_waiting_ends_when_there_is_something_to_read(pipe: Pipe, wait: Callable[..., None]) -> None:
    green = spawn(wait, pipe[0], 30)
    turns()
    assert not green.ready()
    os.write(pipe[1], b"x")
    assert joined(green) == [None]


@pytest.mark.parametrize("wait", [green_socket.wait_read, green_socket.wait_readwrite])
def test_waiting_too_long_is_a_timeout_or_what_was_asked_for(pipe: Pipe, wait: Callable[..., None]) -> None:
    with pytest.raises(TimeoutError):
        wait(pipe[0], timeout=0.001)
    with pytest.raises(KeyError, match="mine"):
        wait(pipe[0], timeout=0.001, timeout_exc=KeyError("mine"))
    with pytest.raises(gossamer.Timeout, match=r"0\.001 seconds"):
        wait(pipe[0], timeout=0.001, timeout_exc=None)


@pytest.mark.parametrize("wait", [green_socket.wait_read, green_socket.wait_write, green_socket.wait_readwrite])
def test_what_is_no_descriptor_is_an_error_and_not_ready(wait: Callable[..., None]) -> None:
    with reported() as reports, gossamer.Timeout(30), pytest.raises(OSError, match="descriptor"):
        wait(9999, 20)
    assert reports == []
    with pytest.raises(TypeError):
        wait("x")


@pytest.mark.parametrize("wait", [green_socket.wait_read, green_socket.wait_readwrite])
def test_a_time_that_is_over_and_one_that_is_longer_than_clocks_go_are_times(
    pipe: Pipe, wait: Callable[..., None]
) -> None:
    with pytest.raises(TimeoutError):
        wait(pipe[0], timeout=-1)
    green = spawn(wait, pipe[0], 1e10)
    turns()
    assert not green.ready()
    os.write(pipe[1], b"x")
    assert joined(green) == [None]


def test_waiting_ends_when_there_is_room_to_write() -> None:
    left, right = socket.socketpair()
    with left, right:
        green_socket.wait_write(left.fileno(), 30)
        green_socket.wait_readwrite(left.fileno(), 30)


def test_reading_and_writing_in_non_blocking_mode_wait(pipe: Pipe) -> None:
    assert [green_os.make_nonblocking(end) for end in pipe] == [True, True]
    assert green_os.make_nonblocking(pipe[0]) is False
    reading = spawn(green_os.nb_read, pipe[0], 10)
    turns()
    assert green_os.nb_write(pipe[1], b"some") == 4
    assert joined(reading) == [b"some"]

    def write() -> None:
        left = memoryview(bytes(300_000))
        while left:
            left = left[green_os.nb_write(pipe[1], left) :]

    writing, total = spawn(write), 0
    while total < 300_000:
        total += len(green_os.nb_read(pipe[0], 100_000))
    joined(writing)


def test_reading_and_writing_in_a_pool_thread_lets_others_run(pipe: Pipe) -> None:
    reading = spawn(green_os.tp_read, pipe[0], 10)
    turns()
    assert not reading.ready()
    assert green_os.tp_write(pipe[1], b"some") == 4
    assert joined(reading) == [b"some"]


@pytest.mark.parametrize(
    ("name", "home", "item"),
    [
        ("socket", "socket", "socket"),
        ("ssl", "ssl", "SSLContext"),
        ("select", "select", "select"),
        ("selectors", "selectors", "DefaultSelector"),
        ("subprocess", "subprocess", "Popen"),
        ("thread", "_thread", "start_new_thread"),
        ("threading", "threading", "Thread"),
        ("time", "time", "sleep"),
        ("os", "os", "waitpid"),
        ("signal", "signal", "signal"),
        ("builtins", "builtins", "input"),
        ("contextvars", "contextvars", "ContextVar"),
    ],
)
def test_a_module_hands_on_the_standard_librarys_own_names(name: str, home: str, item: str) -> None:
    face = importlib.import_module(f"gossamer.{name}")
    assert getattr(face, item) is getattr(importlib.import_module(home), item)


def test_waiting_for_a_watcher_ends_by_its_event_its_time_or_an_error(pipe: Pipe) -> None:
    loop = get_hub().loop
    watcher = loop.io(pipe[0], 1)
    with pytest.raises(TimeoutError):
        green_socket.wait(watcher, timeout=0.001)
    with pytest.raises(KeyError, match="mine"):
        green_socket.wait(watcher, timeout=0.001, timeout_exc=KeyError("mine"))
    waiting = gossamer.spawn(green_socket.wait, watcher)
    turns(2)
    with pytest.raises(ConcurrentObjectUseError):
        green_socket.wait(watcher)
    with reported():
        green_socket.cancel_wait(watcher)
        waiting.join()
    assert isinstance(waiting.exception, OSError)
    assert waiting.exception.errno == errno.EBADF
    os.write(pipe[1], b"x")
    green_socket.wait(watcher)


FACES = "builtins contextvars os select selectors signal socket ssl subprocess thread threading time".split()


@pytest.mark.parametrize("name", FACES)
def test_a_module_has_everything_that_the_standard_librarys_has(name: str) -> None:
    ours = importlib.import_module(f"gossamer.{name}")
    stock = importlib.import_module({"thread": "_thread"}.get(name, name))
    names = [name for name in dir(stock) if not name.startswith("__")]
    different = [name for name in names if getattr(ours, name) is not getattr(stock, name)]
    assert not different
    with pytest.raises(AttributeError):
        ours.no_such_name
