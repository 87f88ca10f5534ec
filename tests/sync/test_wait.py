"""gossamer.wait, iwait, joinall: several objects at once."""

import subprocess
import sys
from typing import Any

import pytest

import gossamer
from gossamer import Greenlet, Timeout, getcurrent, iwait, joinall, sleep, spawn, wait
from gossamer.event import AsyncResult, Event
from tests.support.children import output_of
from tests.support.runtime import reported


def after(event: Event, value: Any) -> Any:
    event.wait()
    return value


def ahead_of(event: Event, value: Any) -> Any:
    event.set()
    return value


def fail() -> None:
    raise LookupError("on purpose")


def test_objects_come_in_the_order_in_which_they_become_ready() -> None:
    first = Event()
    slow, quick = spawn(after, first, "slow"), spawn(ahead_of, first, "quick")
    assert [it.value for it in iwait([slow, quick])] == ["quick", "slow"]


def test_wait_returns_all_of_them() -> None:
    first = Event()
    slow, quick = spawn(after, first, "slow"), spawn(ahead_of, first, "quick")
    assert wait([slow, quick]) == [quick, slow]
    assert wait([slow, quick, slow]) == [slow, slow, quick]
    assert wait([]) == []


def test_count_is_how_many_are_waited_for() -> None:
    slow, quick = spawn(sleep, 60), spawn(int)
    assert wait([slow, quick], count=1) == [quick]
    assert not slow.has_links()
    assert wait([slow, quick], count=0) == []
    slow.kill()


def test_after_the_timeout_those_that_are_ready_are_returned() -> None:
    slow, quick = spawn(sleep, 60), spawn(int)
    assert wait([slow, quick], timeout=0.01) == [quick]
    assert wait([slow], timeout=0) == []
    assert not slow.has_links()
    slow.kill()


def test_events_results_and_greenlets_can_be_waited_for_together() -> None:
    event = Event()
    result: AsyncResult[int] = AsyncResult()
    it = spawn(result.wait)
    spawn(event.set)
    event.rawlink(lambda event: spawn(result.set, 1))
    assert wait([it, result, event])[0] is event
    assert it.ready() and result.ready()
    assert set(map(id, wait([it, result, event]))) == {id(event), id(result), id(it)}


def test_what_cannot_be_waited_for_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="'text' cannot be waited for"):
        wait(["text"])


def test_an_iterator_that_is_left_lets_go_of_the_rest() -> None:
    slow, quick = spawn(sleep, 60), spawn(int)
    with iwait([slow, quick]) as found:
        assert next(found) is quick
        assert slow.has_links()
    assert not slow.has_links()
    slow.kill()


def test_a_wait_that_is_interrupted_lets_go_of_all() -> None:
    slow = spawn(sleep, 60)
    with Timeout(0.001, False):
        wait([slow])
    assert not slow.has_links()
    slow.kill()


# ---- joinall ----


def test_joinall_waits_for_all_of_them() -> None:
    first = Event()
    crowd = [spawn(after, first, 0), spawn(after, first, 1), spawn(ahead_of, first, 2)]
    assert joinall(crowd) == crowd
    assert [it.value for it in crowd] == [0, 1, 2]


def test_joinall_waits_for_others_than_green_threads_among_them() -> None:
    event, it = Event(), spawn(int)
    spawn(event.set)
    assert set(joinall([it, event])) == {it, event}


def test_joinall_asks_a_subclass_that_has_its_own_join() -> None:
    joined = []

    class Own(Greenlet):
        def join(self, timeout: float | None = None) -> None:
            joined.append(self)
            super().join(timeout)

    own = Own.spawn(int)
    joinall([spawn(int), own])
    assert joined == [own]
    assert own.ready()


def test_joinall_returns_those_that_ended_before_the_timeout() -> None:
    slow, quick = spawn(sleep, 60), spawn(int)
    assert joinall([slow, quick], timeout=0.01) == [quick]
    assert joinall([slow, quick], count=1) == [quick]
    slow.kill()


def test_joinall_raises_an_error_as_soon_as_there_is_one_if_asked_to() -> None:
    slow, bad = spawn(sleep, 60), spawn(fail)
    with reported():
        with pytest.raises(LookupError):
            joinall([slow, bad], raise_error=True)
        assert joinall([bad]) == [bad]
    assert not slow.ready()
    slow.kill()


def test_joinall_with_raise_error_returns_those_that_ended_well() -> None:
    crowd = [spawn(int), spawn(str)]
    assert joinall(crowd, raise_error=True) == crowd


# ---- until nothing is left ----


def test_wait_without_objects_returns_when_nothing_is_left_to_wait_for() -> None:
    assert (
        output_of(
            """
import gossamer, os
log = []
def work():
    gossamer.sleep(0.01)
    gossamer.spawn(log.append, 'grandchild')
    log.append('child')
gossamer.spawn(work)
gossamer.get_hub().loop.timer(0.02).start(log.append, 'timer')
reading, writing = os.pipe()
from gossamer import _core
gossamer.spawn(lambda: (_core.wait_read(reading), log.append('descriptor')))
gossamer.spawn_later(0.03, os.write, writing, b'x')
print(gossamer.wait(), sorted(log))
print(gossamer.wait(), gossamer.wait(timeout=5), gossamer.get_hub().join())
"""
        )
        == "True ['child', 'descriptor', 'grandchild', 'timer']\nTrue True True\n"
    )


def test_wait_without_objects_does_not_wait_for_those_that_nothing_can_wake() -> None:
    assert output_of(
        "import gossamer, gossamer.event as e; gossamer.spawn(e.Event().wait); print(gossamer.wait())"
    ) == ("True\n")


def test_wait_without_objects_gives_up_after_its_timeout() -> None:
    assert output_of("import gossamer; gossamer.spawn(gossamer.sleep, 60); print(gossamer.wait(timeout=0.01))") == (
        "False\n"
    )


def test_timers_without_ref_are_not_waited_for() -> None:
    assert (
        output_of(
            """
import gossamer
gossamer.spawn(gossamer.sleep, 60, ref=False)
gossamer.Timeout(60, ref=False).start()
gossamer.get_hub().loop.timer(60, ref=False).start(print)
print(gossamer.wait())
"""
        )
        == "True\n"
    )


def test_a_job_of_the_thread_pool_is_waited_for() -> None:
    assert (
        output_of(
            """
import gossamer, time
result = gossamer.get_hub().threadpool.spawn(time.sleep, 0.05)
print(gossamer.wait(), result.ready())
"""
        )
        == "True True\n"
    )


def test_idle_returns_when_nobody_is_ready_any_more() -> None:
    seen: list[int] = []

    def work() -> None:
        for n in range(5):
            sleep(0)
            seen.append(n)

    it = spawn(work)
    gossamer.idle()
    assert seen == [0, 1, 2, 3, 4]
    assert it.ready()
    assert getcurrent().parent is None


def test_an_object_that_is_given_twice_comes_twice() -> None:
    it = spawn(lambda: None)
    assert list(iwait([it, it])) == [it, it]
    assert wait([it, it], count=1) == [it]


def test_iwait_without_objects_yields_once_whether_nothing_is_left() -> None:
    assert output_of("import gossamer; print(list(gossamer.iwait(None, timeout=60)))") == "[True]\n"


def child_of(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", *arguments], stdin=subprocess.PIPE)


def test_processes_are_waited_for_among_others() -> None:
    event = Event()
    with child_of("import sys; sys.exit(11)") as process, child_of("input()") as reading:
        with iwait([event, reading, process]) as ready:
            assert next(ready) is process
            assert process.poll() == 11
            event.set()
            assert next(ready) is event
            assert reading.stdin is not None
            reading.stdin.write(b"\n")
            reading.stdin.close()
            assert list(ready) == [reading]
        assert wait([process, reading]) == [process, reading]


def test_a_wait_for_a_process_that_is_given_up_leaves_it_to_others() -> None:
    with child_of("input()") as process:
        assert wait([process], timeout=0.01) == []
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait() == 1


def test_a_process_may_have_more_than_one_who_waits_for_it() -> None:
    with child_of("") as process:
        assert [green.get() for green in wait([spawn(wait, [process]) for _ in range(3)])] == [[process]] * 3
