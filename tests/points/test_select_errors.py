"""What select(), poll() and epoll.poll() refuse, they refuse to green threads in the original's words and order.

What is closed while select() waits is none of that: it is ready.
"""

import os
import select
import socket
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from gossamer import _core
from tests.support.runtime import ended, parked

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(autouse=True)
def _points() -> None:
    _core.get_hub()


class Index:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Broken:
    """Neither a number nor a file."""

    def fileno(self) -> int:
        raise LookupError("no number")

    def __index__(self) -> int:
        raise LookupError("no value")


def outcome(function: Callable[..., object], *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    try:
        return ("returned", function(*args, **kwargs))
    except BaseException as fault:
        return (type(fault), str(fault), getattr(fault, "errno", None))


@pytest.fixture
def pair() -> Iterator[Pair]:
    """One end can be read: whoever waits for it does not wait."""
    ends = socket.socketpair()
    ends[1].send(b"x")
    yield ends
    for end in ends:
        end.close()


TIMEOUTS: list[Any] = [
    None, 0, 0.0, 1, 0.5, True, 1e-12, 1e9, 2147483.0, 2147483.6, 2147483.648, 2147484, 2147483647, 2147483648,
    9223372036.0, 9223372036.9, 9223372037, 1e10, 1e300, 10**30, -(10**30), -1, -0.5, -1e-12, -0.0, -5e9,
    float("nan"), float("inf"), float("-inf"), "1", b"1", [], Index(1), Index(-1), Index(10**30), Broken(), 1j,
    Fraction(1, 2), Decimal("0.5"), Decimal("-0.5"), Decimal("nan"), object(),
]  # fmt: skip


@pytest.mark.parametrize("timeout", TIMEOUTS, ids=repr)
def test_every_timeout_is_judged_as_the_original_does(timeout: Any, pair: Pair) -> None:
    left = pair[0]
    poll, epoll = select.poll(), select.epoll()
    poll.register(left, select.POLLIN)
    epoll.register(left, select.EPOLLIN)
    calls: list[tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...]]] = [
        (select.select, _core.original("select", None, "select"), ([left], [], [])),
        (type(poll).poll, _core.original("select", "poll", "poll"), (poll,)),
        (select.epoll.poll, _core.original("select", "epoll", "poll"), (epoll,)),
    ]
    for point, original, args in calls:
        assert outcome(point, *args, timeout) == outcome(original, *args, timeout)
    assert outcome(epoll.poll, timeout=timeout) == outcome(calls[2][1], epoll, timeout=timeout)
    epoll.close()


@pytest.mark.parametrize("timeout", [-1, -0.5, -1e-12, -0.0, None, Index(-5)], ids=repr)
def test_a_negative_timeout_of_poll_is_none_at_all(timeout: Any, pair: Pair) -> None:
    pair[0].recv(1)
    poll = select.poll()
    poll.register(pair[0], select.POLLIN)
    waiter = _core.spawn(poll.poll, timeout)
    for _ in range(3):
        _core.sleep(0)
    assert waiter.ready() == (timeout == 0)
    pair[1].send(b"x")
    waiter.join(timeout=60)
    assert waiter.value == ([] if timeout == 0 else [(pair[0].fileno(), select.POLLIN)])


@pytest.mark.parametrize("timeout", [-1, -0.5, -0.001], ids=repr)
def test_a_negative_timeout_of_epoll_is_none_at_all(timeout: Any, pair: Pair) -> None:
    pair[0].recv(1)
    with select.epoll() as epoll:
        epoll.register(pair[0], select.EPOLLIN)
        waiter = _core.spawn(epoll.poll, timeout)
        for _ in range(3):
            _core.sleep(0)
        assert not waiter.ready()
        pair[1].send(b"x")
        waiter.join(timeout=60)
        assert waiter.value == [(pair[0].fileno(), select.EPOLLIN)]


def test_less_than_a_millisecond_below_zero_is_zero_to_epoll(pair: Pair) -> None:
    pair[0].recv(1)
    with select.epoll() as epoll:
        epoll.register(pair[0], select.EPOLLIN)
        assert epoll.poll(-0.0005) == []


@pytest.mark.parametrize(
    "args",
    [
        (), ([],), ([], []), ([], [], [], 1, 2), (None, [], []), ([], 1, []), ([-1], [], []), (["x"], [], []),
        ([1 << 20], [], []), ([1 << 40], [], []), ([Broken()], [], []), ([1.5], [], []),
        ([Broken()], 1, None, "x"), (iter([-1]), 7, []), ([0] * 2000, [], []), (map(int, ["x"]), [], []),
        ({"a": 1}, [], []), (b"", "", (), 0), ([], [], [None], 1),
    ],
    ids=repr,
)  # fmt: skip
def test_every_set_is_judged_as_the_original_does(args: tuple[Any, ...]) -> None:
    def again(value: Any) -> Any:
        return iter([-1]) if isinstance(value, type(iter([]))) else map(int, ["x"]) if isinstance(value, map) else value

    original = _core.original("select", None, "select")
    assert outcome(select.select, *map(again, args)) == outcome(original, *map(again, args))


def test_names_are_refused_by_select_and_poll_as_ever() -> None:
    assert outcome(select.select, [], [], [], timeout=1) == outcome(
        _core.original("select", None, "select"), [], [], [], timeout=1
    )
    poll = select.poll()
    assert outcome(poll.poll, timeout=1)[0] is TypeError
    assert outcome(poll.poll, 1, 2) == outcome(_core.original("select", "poll", "poll"), poll, 1, 2)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1, 2, 3), {}), ((), {"timeouts": 1}), ((1,), {"timeout": 1}), ((1, 2), {"maxevents": 1}),
        ((), {"maxevents": 0}), ((), {"maxevents": -2}), ((), {"maxevents": "x"}), ((1, 0), {}),
        (("x", 0), {}), ((), {"maxevents": 1 << 40}), ((), {"other": 1, "maxevents": 2, "timeout": 3}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("closed", [False, True])
def test_every_argument_of_epoll_is_judged_as_the_original_does(
    args: tuple[Any, ...], kwargs: dict[str, Any], closed: bool, pair: Pair
) -> None:
    epoll = select.epoll()
    epoll.register(pair[0], select.EPOLLIN)
    if closed:
        epoll.close()
    original = _core.original("select", "epoll", "poll")
    assert outcome(epoll.poll, *args, **kwargs) == outcome(original, epoll, *args, **kwargs)
    epoll.close()


def test_a_closed_epoll_object_is_refused() -> None:
    epoll = select.epoll()
    epoll.close()
    epoll.close()
    assert outcome(epoll.poll) == (ValueError, "I/O operation on closed epoll object", None)
    assert outcome(epoll.poll, 1) == (ValueError, "I/O operation on closed epoll object", None)


def test_an_epoll_object_whose_descriptor_was_closed_is_refused() -> None:
    epoll = select.epoll()
    os.close(epoll.fileno())
    fault = outcome(epoll.poll, 1)
    assert fault == outcome(_core.original("select", "epoll", "poll"), epoll, 1)
    assert fault[0] is OSError
    del epoll


def test_a_closed_descriptor_is_told_by_poll_and_refused_by_select() -> None:
    reader, writer = os.pipe()
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    os.close(reader)
    os.close(writer)
    assert poll.poll() == [(reader, select.POLLNVAL)]
    assert outcome(select.select, [reader], [], []) == (OSError, "[Errno 9] Bad file descriptor", 9)


def test_points_look_like_the_originals() -> None:
    pairs: list[tuple[Any, Any]] = [
        (select.select, _core.original("select", None, "select")),
        (type(select.poll()).poll, _core.original("select", "poll", "poll")),
        (select.epoll.poll, _core.original("select", "epoll", "poll")),
        (select.epoll.close, _core.original("select", "epoll", "close")),
    ]
    for point, original in pairs:
        assert point.__name__ == original.__name__
        assert point.__doc__ == original.__doc__
        assert point.__text_signature__ == original.__text_signature__
        assert type(point) is type(original)


def test_what_is_closed_while_select_waits_is_ready_as_the_kernel_has_it() -> None:
    left, right = socket.socketpair()
    other, sender = socket.socketpair()
    number = os.dup(left.fileno())
    alone = parked(select.select, [left], [], [])
    among_others = parked(select.select, [other, left], [], [left])
    by_number = parked(select.select, [other, number], [], [])
    left.close()
    os.close(number)
    sender.send(b"x")
    assert ended(alone, among_others, by_number) == [
        ([left], [], []),
        ([left], [], [left]),
        ([number], [], []),
    ]
    for end in (right, other, sender):
        end.close()
