"""Greenlets, links, timeouts and kills leave nothing behind."""

import sys
from collections.abc import Callable

import pytest

import gossamer
from gossamer import Greenlet, Timeout, get_hub, getcurrent, iwait, joinall, killall, sleep, spawn
from gossamer._core import counts
from gossamer.hub import Waiter
from tests.support.memory import least_growth
from tests.support.runtime import reported, turns
from tests.support.scale import scaled


def spawn_and_get() -> None:
    spawn(lambda *values, **named: (values, named), [1], key=[2]).get()


def names_and_descriptions() -> None:
    it = spawn(int)
    repr((it.name, it, it.spawn_tree_locals, it.spawning_greenlet))
    it.join()


def fail_and_get() -> None:
    it = spawn([].pop)
    it.join()
    for _ in range(2):
        with pytest.raises(IndexError):
            it.get()


def links() -> None:
    it = spawn(int)
    for link in (it.link, it.link_value, it.link_exception, it.rawlink):
        link(lambda it: None)
    it.unlink(int)
    it.join()
    turns(1)
    it.link(lambda it: None)
    turns(1)


def links_that_wait() -> None:
    it = spawn(int)
    it.link(lambda it: sleep(0))
    it.join()
    turns(3)


def kills() -> None:
    crowd = [Greenlet(int), spawn(int), spawn(sleep, 60), spawn(sleep, 60), Greenlet.spawn_later(60, int)]
    crowd[3].kill(ValueError, block=False)
    turns(1)
    killall(crowd)
    killall(crowd)


def kill_oneself() -> None:
    spawn(lambda: getcurrent().kill()).join()  # type: ignore[attr-defined]
    spawn(lambda: (getcurrent().kill(block=False), sleep(60))).join()  # type: ignore[attr-defined]


def kill_one_that_is_about_to_be_killed() -> None:
    it = spawn(sleep, 60)
    turns(1)
    for _ in range(3):
        it.kill(block=False)
    it.join()
    turns(1)


def start_later_and_kill() -> None:
    it = Greenlet(int)
    it.start_later(60)
    it.kill()


def timeouts() -> None:
    with Timeout(60), Timeout(60, ValueError([1])), Timeout():
        pass
    Timeout(60).start()
    Timeout.start_new(60).close()
    with Timeout(0, False):
        sleep(60)
    with pytest.raises(LookupError), Timeout(0, LookupError):
        sleep(60)
    with pytest.raises(Timeout), Timeout(0), Timeout(0, False):
        sleep(60)


def waits() -> None:
    joinall([spawn(int), spawn(int)], timeout=9)
    it = spawn(sleep, 60)
    with iwait([it, spawn(int)]) as found:
        next(found)
    it.kill()


def waiters() -> None:
    waiter = Waiter()
    get_hub().run_callback(waiter.switch, [1])
    waiter.get()


def watchers() -> None:
    get_hub().wait(get_hub().loop.timer(0))
    timer = get_hub().loop.timer(60)
    timer.start(int)
    timer.stop()


CASES = [
    spawn_and_get,
    names_and_descriptions,
    fail_and_get,
    links,
    links_that_wait,
    kills,
    kill_oneself,
    kill_one_that_is_about_to_be_killed,
    start_later_and_kill,
    timeouts,
    waits,
    waiters,
    watchers,
]


@pytest.mark.parametrize("act", CASES, ids=lambda act: act.__name__)
def test_an_operation_leaves_no_memory_blocks_and_no_greenlets(act: Callable[[], None]) -> None:
    count = scaled(300, least=100)

    def work() -> None:
        for _ in range(count):
            act()
        turns(2)

    before = counts()
    own = {id(it) for it in pending_timers()}
    with reported() as reports:
        growth = least_growth(lambda: (work(), forget_timers(own), reports.clear()), sys.getallocatedblocks)
    assert growth < count // 2, growth
    assert {name: counts()[name] - before[name] for name in ("alive", "leaked")} == {"alive": 0, "leaked": 0}


def pending_timers() -> list[Timeout]:
    import gc

    return [it for it in gc.get_objects() if isinstance(it, Timeout) and it.pending]


def forget_timers(but: set[int]) -> None:
    """Cancel the timeouts that were started and left."""
    for it in pending_timers():
        if id(it) not in but:
            it.cancel()


def test_a_hundred_thousand_cancelled_timeouts_leave_no_timer() -> None:
    before = get_hub().waits()
    for _ in range(scaled(100_000)):
        timeout = Timeout(60)
        timeout.start()
        timeout.cancel()
        with Timeout.start_new(60):
            pass
    assert get_hub().waits() == before
    assert gossamer.get_hub().loop.pendingcnt == 0
