"""gossamer.queue.Channel: a place where green threads meet."""

from collections.abc import Callable

import pytest

from gossamer._core import BlockingSwitchOutError, GreenletExit, get_hub, interrupt, spawn
from gossamer.queue import Channel, Empty, Full
from tests.support.runtime import beside, joined, turns


def test_put_returns_once_somebody_has_taken_the_item() -> None:
    channel: Channel[int] = Channel()
    putter = spawn(channel.put, 1)
    turns()
    assert not putter.ready()
    assert channel.balance == 1
    assert channel.get() == 1
    joined(putter)
    assert channel.balance == 0


def test_both_sides_are_served_in_the_order_they_came() -> None:
    channel: Channel[int] = Channel()
    getters = [spawn(channel.get) for _ in range(3)]
    turns()
    assert channel.balance == -3
    putters = [spawn(channel.put, item) for item in range(6)]
    assert joined(*getters) == [0, 1, 2]
    assert [channel.get() for _ in range(3)] == [3, 4, 5]
    joined(*putters)


def test_without_a_partner_in_time_it_is_full_and_empty() -> None:
    channel: Channel[int] = Channel()
    puts: list[Callable[[], None]] = [
        lambda: channel.put(1, timeout=0.001),
        lambda: channel.put(1, False),
        lambda: channel.put_nowait(1),
    ]
    gets: list[Callable[[], int]] = [lambda: channel.get(timeout=0.001), lambda: channel.get(False), channel.get_nowait]
    for put in puts:
        with pytest.raises(Full):
            put()
    for get in gets:
        with pytest.raises(Empty):
            get()
    assert (channel.qsize(), channel.empty(), channel.full(), channel.balance) == (0, True, True, 0)


def test_put_nowait_hands_over_to_whoever_waits() -> None:
    channel: Channel[int] = Channel()
    getter = spawn(channel.get)
    turns()
    channel.put_nowait(5)
    with pytest.raises(Full):
        channel.put_nowait(6)
    assert joined(getter) == [5]


def test_what_was_handed_to_one_that_is_killed_is_the_next_ones() -> None:
    channel: Channel[int] = Channel()
    first, second = spawn(channel.get), spawn(channel.get)
    turns()
    channel.put_nowait(5)
    interrupt(first, GreenletExit())
    joined(first, second)
    assert second.value == 5


def test_a_putter_that_is_killed_takes_its_item_along() -> None:
    channel: Channel[int] = Channel()
    first, second = spawn(channel.put, 1), spawn(channel.put, 2)
    turns()
    interrupt(first, GreenletExit())
    assert channel.get() == 2
    joined(first, second)
    assert channel.balance == 0


def test_on_the_hub_it_serves_those_who_wait_and_waits_for_nobody() -> None:
    channel: Channel[int] = Channel()
    answers: list[object] = []
    getter = spawn(channel.get)
    turns()

    def in_hub() -> None:
        channel.put(1)
        with pytest.raises(Full):
            channel.put(2)
        answers.append("put")

    def later_in_hub() -> None:
        answers.append(channel.get())
        with pytest.raises(BlockingSwitchOutError):
            channel.get()
        answers.append("got")

    get_hub().run_callback(in_hub)
    assert joined(getter) == [1]
    putter = spawn(channel.put, 3)
    turns()
    get_hub().run_callback(later_in_hub)
    joined(putter)
    turns()
    assert answers == ["put", 3, "got"]


def test_iterating_ends_at_the_class_stop_iteration() -> None:
    channel: Channel[object] = Channel()
    collector = spawn(lambda: list(channel))
    for item in (1, 2, StopIteration):
        channel.put(item)
    assert joined(collector) == [[1, 2]]


def test_it_has_no_size_but_one() -> None:
    with pytest.raises(ValueError, match="maxsize of 1"):
        Channel(2)


def test_native_and_green_threads_meet() -> None:
    channel: Channel[int] = Channel()
    with beside(lambda: [channel.put(item) for item in range(100)]):
        assert [channel.get(timeout=60) for _ in range(100)] == list(range(100))
