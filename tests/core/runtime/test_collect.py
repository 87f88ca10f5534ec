"""Memory: what ends with the last reference, what is kept by its wait, what the collector finds."""

import gc
import threading
import weakref

from gossamer._core import (
    GreenletExit,
    GreenThread,
    WaitQueue,
    get_hub,
    getcurrent,
    greenlet,
    interrupt,
    sleep,
    spawn,
)
from tests.support.children import output_of
from tests.support.free_threading import IS_FREE_THREADED
from tests.support.runtime import PRELUDE, in_thread, joined, turns, until


class Thing:
    """Something that can be referred to weakly."""


def test_a_wait_keeps_its_green_thread_alive() -> None:
    queue, order = WaitQueue(), list[str]()

    def body() -> None:
        queue.park()
        order.append("went on")

    gone = weakref.ref(spawn(body))
    sleep(0)
    gc.collect()
    assert gone() is not None
    queue.unpark()
    turns()
    assert order == ["went on"] and gone() is None


def test_a_greenlet_that_another_thread_collects_is_ended_by_the_hub_of_its_own() -> None:
    """Who only parks makes no switch of his own that would see to it."""
    threads: list[int] = []
    main = getcurrent()

    def body() -> None:
        try:
            main.switch()
        finally:
            threads.append(threading.get_native_id())

    get_hub()
    crowd = [greenlet(body) for _ in range(3)]
    for it in crowd:
        it.switch()
    del it
    in_thread(crowd.clear)
    if not IS_FREE_THREADED:  # those builds hand it to its own thread by themselves
        assert threads == []
    until(lambda: len(threads) == 3)
    assert threads == [threading.get_native_id()] * 3


def test_one_that_was_never_started_is_freed_with_its_arguments() -> None:
    thing = Thing()
    gone = weakref.ref(thing)
    it = GreenThread(print, thing)
    del thing
    assert gone() is not None
    del it
    assert gone() is None


def test_one_that_was_never_started_is_collected_with_a_cycle_through_its_arguments() -> None:
    gc.collect()
    holder: list[object] = [Thing()]
    gone = weakref.ref(holder[0])
    holder.append(GreenThread(print, holder))
    del holder
    gc.collect()
    assert gone() is None


def test_a_cycle_through_the_result_is_collected() -> None:
    thing = Thing()
    gone = weakref.ref(thing)

    def body(kept: Thing) -> object:
        return kept, getcurrent()

    it = spawn(body, thing)
    joined(it)
    del it, thing
    turns()
    gc.collect()
    assert gone() is None


def test_a_cycle_through_links_is_collected() -> None:
    thing = Thing()
    gone = weakref.ref(thing)
    it = GreenThread(int)
    it.rawlink(lambda _, kept=(thing, it): None)  # type: ignore[misc]
    del it, thing
    gc.collect()
    assert gone() is None


def test_one_left_by_an_explicit_switch_ends_when_nobody_refers_to_it() -> None:
    out = output_of(
        PRELUDE
        + """
log = []
def body():
    try:
        main.switch('left')
    except GreenletExit:
        log.append('GreenletExit')
        raise
    finally:
        log.append('finally')
        sleep(0)
        log.append('waited')
it = spawn(body)
print(get_hub().switch())
gone = weakref.ref(it)
other = spawn(log.append, 'other')
del it
print(log, gone(), joined(other))
"""
    )
    assert out == "left\n['GreenletExit', 'finally', 'other', 'waited'] None [None]\n"


def test_one_left_by_an_explicit_switch_and_in_a_cycle_is_found_by_the_collector() -> None:
    out = output_of(
        PRELUDE
        + """
log = []
def body():
    me = getcurrent()
    try:
        main.switch('left')
    finally:
        log.append('finally')
for _ in range(10):
    spawn(body)
    get_hub().switch()
gc.collect()
turns()
gc.collect()
print(log, counts()['alive'], counts()['leaked'])
"""
    )
    assert out == f"{['finally'] * 10} 1 0\n"


def test_one_dropped_by_another_thread_ends_in_its_own() -> None:
    out = output_of(
        PRELUDE
        + """
log = []
def body():
    try:
        main.switch('left')
    finally:
        log.append(threading.get_native_id() == threading.main_thread().native_id)
holder = [spawn(body)]
get_hub().switch()
in_thread(holder.clear)
turns()
sleep(0.001)
getcurrent()
print(log)
"""
    )
    assert out == "[True]\n"


def test_the_collector_may_run_at_any_moment() -> None:
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        queue = WaitQueue()

        def body(number: int) -> list[object]:
            kept: list[object] = [number, getcurrent()]
            kept.append(kept)
            sleep(0)
            queue.park(0.001)
            return kept

        crowd = [spawn(body, number) for number in range(100)]
        turns()
        queue.unpark(30)
        joined(*crowd)
    finally:
        gc.set_threshold(*threshold)


def test_what_a_parked_one_refers_to_is_found_through_it() -> None:
    queue = WaitQueue()

    def body(kept: Thing) -> None:
        queue.park()

    thing = Thing()
    it = spawn(body, thing)
    sleep(0)
    gc.collect()
    assert any(referrer is it for referrer in gc.get_referrers(thing)) or thing in gc.get_referents(it)
    interrupt(it, GreenletExit())
    joined(it)


def test_the_hub_of_an_ended_thread_is_freed() -> None:
    def work() -> tuple[object, object]:
        joined(spawn(sleep, 0))
        return weakref.ref(get_hub()), weakref.ref(getcurrent())

    refs = [in_thread(work) for _ in range(5)]
    gc.collect()
    assert [(hub(), main()) for hub, main in refs] == [(None, None)] * 5  # type: ignore[operator]


def test_a_failed_one_is_freed_although_its_error_was_shown() -> None:
    out = output_of(
        PRELUDE
        + """
class Thing: pass
def body(kept):
    raise LookupError
thing = Thing()
gone = weakref.ref(thing)
it = spawn(body, thing)
joined(it)
del thing, it
turns()
gc.collect()
print(gone())
"""
    )
    assert out == "None\n"


def test_a_raw_greenlet_that_waits_is_kept_by_its_wait() -> None:
    queue, order = WaitQueue(), list[str]()

    def body() -> None:
        queue.park()
        order.append("went on")

    it = spawn(lambda: greenlet(body).switch())
    sleep(0)
    gc.collect()
    queue.unpark()
    joined(it)
    assert order == ["went on"]
