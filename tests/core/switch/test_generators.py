"""Generators, coroutines and asynchronous generators that are suspended while greenlets switch.

A generator's frame moves between callers; a switch must leave it in the greenlet that was running it, and let any
greenlet resume it once it is suspended.
"""

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from functools import partial
from typing import Any

import pytest

from gossamer.switching import GreenletExit, getcurrent, greenlet
from tests.support.greenlets import parked, to_parent


def counting(stop: int) -> Iterator[int]:
    """Yields 0 to `stop` - 1 and parks its caller's greenlet before each."""
    for number in range(stop):
        to_parent("inside the generator")
        yield number


def test_a_generator_that_switches_goes_on_where_it_was() -> None:
    it = parked(lambda: list(counting(5)))
    for _ in range(4):
        assert it.switch() == "inside the generator"
    assert it.switch() == [0, 1, 2, 3, 4]


def test_a_generator_running_in_a_parked_greenlet_cannot_be_resumed_by_another() -> None:
    source = counting(2)
    it = parked(lambda: next(source))
    with pytest.raises(ValueError, match="already executing"):
        next(source)
    with pytest.raises(ValueError, match="already executing"):
        source.close()  # type: ignore[attr-defined]
    assert it.switch() == 0


def test_a_suspended_generator_can_be_resumed_by_any_greenlet() -> None:
    source = itertools.count()
    shared = (number * 2 for number in source)
    crowd = [greenlet(lambda: next(shared)) for _ in range(10)]
    assert [it.switch() for it in crowd] == list(range(0, 20, 2))


def test_a_generator_is_handed_from_greenlet_to_greenlet_between_its_yields() -> None:
    def echo() -> Generator[object, object, None]:
        received: object = None
        while True:
            received = yield (getcurrent(), received)

    source = echo()
    next(source)
    crowd = [greenlet(source.send) for _ in range(5)]
    for number, it in enumerate(crowd):
        assert it.switch(number) == (it, number)


def test_delegation_through_many_generators_survives_switches() -> None:
    def nest(depth: int) -> Iterator[int]:
        if depth:
            yield from nest(depth - 1)
        to_parent()
        yield depth

    def body() -> list[int]:
        return list(nest(30))

    one, two = parked(body), parked(body)
    for _ in range(30):
        one.switch()
        two.switch()
    assert one.switch() == two.switch() == list(range(31))


def test_values_and_exceptions_reach_a_generator_of_another_greenlet() -> None:
    seen: list[object] = []

    def listen() -> Generator[None, object, None]:
        while True:
            try:
                seen.append((yield))
            except KeyError:
                seen.append("KeyError")

    source = listen()
    next(source)
    greenlet(source.send).switch(1)
    greenlet(source.throw).switch(KeyError)
    greenlet(source.send).switch(2)
    greenlet(source.close).switch()
    assert seen == [1, "KeyError", 2]


def test_a_generator_ended_by_its_greenlet_runs_its_finally_blocks() -> None:
    seen: list[str] = []

    def produce() -> Iterator[int]:
        try:
            yield 1
            to_parent()
            yield 2
        finally:
            seen.append("finally")

    it = parked(lambda: list(produce()))
    assert isinstance(it.throw(), GreenletExit)
    assert seen == ["finally"]


def test_a_generator_may_be_finalized_while_another_greenlet_runs() -> None:
    seen: list[object] = []

    def produce() -> Iterator[int]:
        try:
            yield 1
        finally:
            seen.append(getcurrent())

    holder = [produce()]
    greenlet(lambda: next(holder[0])).switch()
    other = greenlet(holder.clear)
    other.switch()
    gc.collect()
    assert seen == [other]


def test_a_generator_finalizer_may_switch() -> None:
    seen: list[str] = []

    def produce() -> Iterator[int]:
        try:
            yield 1
        finally:
            seen.append("before")
            to_parent()
            seen.append("after")

    def body() -> None:
        source = produce()
        next(source)
        del source
        seen.append("end")

    it = parked(body)
    assert seen == ["before"]
    it.switch()
    assert it.dead and seen == ["before", "after", "end"]


def test_permutations_by_recursive_generators_run_side_by_side() -> None:
    def permute(items: list[int]) -> Iterator[list[int]]:
        if len(items) <= 1:
            yield items
            return
        for rest in permute(items[1:]):
            to_parent()
            for place in range(len(items)):
                yield rest[:place] + items[:1] + rest[place:]

    def body() -> list[list[int]]:
        return list(permute([1, 2, 3, 4]))

    crowd = [parked(body) for _ in range(3)]
    results: list[list[list[int]]] = []
    while crowd:
        for it in list(crowd):
            value = it.switch()
            if it.dead:
                results.append(value)
                crowd.remove(it)
    expected = sorted(map(list, itertools.permutations([1, 2, 3, 4])))
    assert [sorted(found) for found in results] == [expected] * 3


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that waits for nothing but switches."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the coroutine waits for something")


def test_coroutines_switch_below_await() -> None:
    async def leaf(value: int) -> int:
        to_parent()
        return value

    async def total(count: int) -> int:
        return sum([await leaf(number) for number in range(count)])

    one, two = parked(lambda: drive(total(5))), parked(lambda: drive(total(5)))
    for _ in range(4):
        one.switch()
        two.switch()
    assert one.switch() == two.switch() == 10


def test_asynchronous_generators_switch_between_and_inside_their_steps() -> None:
    async def produce() -> AsyncIterator[int]:
        try:
            for number in range(4):
                to_parent()
                yield number
        finally:
            to_parent()

    async def collect() -> list[int]:
        return [number async for number in produce() if number % 2]

    it = parked(lambda: drive(collect()))
    for _ in range(4):
        it.switch()
    assert it.switch() == [1, 3]


def test_an_event_loop_runs_inside_a_greenlet_while_others_switch() -> None:
    async def work(number: int) -> int:
        await asyncio.sleep(0)
        to_parent("from a task")
        await asyncio.sleep(0)
        return number

    async def main() -> list[int]:
        return await asyncio.gather(*(work(number) for number in range(3)))

    it = greenlet(lambda: asyncio.run(main()))
    assert [it.switch() for _ in range(3)] == ["from a task"] * 3
    assert it.switch() == [0, 1, 2]


def test_blocking_looking_code_awaits_by_switching_to_a_greenlet_that_drives_the_loop() -> None:
    def await_here(awaitable: Awaitable[Any]) -> Any:
        return to_parent(awaitable)

    async def run_blocking_looking(function: Callable[[], Any]) -> Any:
        it = greenlet(function)
        step = it.switch()
        while not it.dead:
            try:
                value = await step
            except BaseException as fault:
                step = it.throw(fault)
            else:
                step = it.switch(value)
        return step

    async def fetch(value: int) -> int:
        await asyncio.sleep(0.001 * (value % 3))
        if value == 7:
            raise LookupError(value)
        return value * 2

    def query(start: int) -> list[object]:
        rows: list[object] = []
        for value in range(start, start + 3):
            try:
                rows.append(await_here(fetch(value)))
            except LookupError as fault:
                rows.append(fault.args)
        return rows

    async def main() -> list[list[object]]:
        rows: list[list[object]] = await asyncio.gather(
            *(run_blocking_looking(partial(query, start)) for start in (0, 3, 6))
        )
        return rows

    assert asyncio.run(main()) == [[0, 2, 4], [6, 8, 10], [12, (7,), 16]]


def test_awaiting_a_future_in_another_greenlet_keeps_the_running_task() -> None:
    seen: list[bool] = []

    async def main() -> None:
        task = asyncio.current_task()
        it = greenlet(lambda: seen.append(asyncio.current_task() is task))
        it.switch()
        await asyncio.sleep(0)
        seen.append(asyncio.current_task() is task)

    asyncio.run(main())
    assert seen == [True, True]
