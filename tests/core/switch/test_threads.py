"""Threads: every thread has a main greenlet, its greenlets stay in it, and its end ends them (test_thread_end.py).

A greenlet never runs in another thread than the one it was started in. One whose last reference is dropped elsewhere
is queued for its thread, which ends it at its next switch or `getcurrent()`.
"""

import _thread
import gc
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import pytest

from gossamer.switching import GreenletExit, error, getcurrent, greenlet
from tests.support.children import output_of
from tests.support.free_threading import IS_FREE_THREADED
from tests.support.greenlets import below_c, ended, parked, to_parent
from tests.support.memory import instances_of, least_growth, mapping_count, resident_bytes
from tests.support.sanitizers import measures_memory
from tests.support.scale import patience, scaled
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("settled")


def in_thread(work: Callable[[], Any]) -> Any:
    """Run `work` in a thread of its own to its end and return what it returns."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join(patience(60))
    assert not thread.is_alive()
    return results[0]


class Worker:
    """A thread that does what it is asked, in order, until it is left."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.done = threading.Semaphore(0)
        self.work: Callable[[], Any] | None = None
        self.result: Any = None
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            self.asked.acquire()
            if self.work is None:
                return
            self.result = self.work()
            self.work = None
            self.done.release()

    def do(self, work: Callable[[], Any]) -> Any:
        """Have the thread call `work` and return what it returns."""
        self.work = work
        self.asked.release()
        assert self.done.acquire(timeout=patience(60))
        result, self.result = self.result, None
        return result

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.asked.release()
        self.thread.join(patience(60))
        assert not self.thread.is_alive()


@pytest.fixture
def _threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_every_thread_has_a_main_greenlet_of_its_own() -> None:
    main = getcurrent()
    other = in_thread(getcurrent)
    assert isinstance(other, greenlet) and other is not main
    with Worker() as worker:
        assert worker.do(getcurrent) is worker.do(getcurrent)
        assert worker.do(lambda: getcurrent().parent) is None


def test_a_thread_started_without_the_threading_module_has_one_too() -> None:
    seen: list[object] = []
    over = threading.Event()

    def work() -> None:
        seen.append(greenlet(lambda: 42).switch())
        over.set()

    _thread.start_new_thread(work, ())
    assert over.wait(patience(60))
    assert seen == [42]


@pytest.mark.parametrize(
    "make", [lambda: greenlet(int), parked, ended, getcurrent], ids=["unstarted", "parked", "dead", "main"]
)
@pytest.mark.parametrize("move", [greenlet.switch, greenlet.throw], ids=["switch", "throw"])
def test_going_to_a_greenlet_of_another_thread_is_refused(
    make: Callable[[], greenlet], move: Callable[[greenlet], object]
) -> None:
    with Worker() as worker:
        foreign = worker.do(make)
        for _ in range(2):
            with pytest.raises(error, match="different thread"):
                move(foreign)
        assert worker.do(lambda: foreign.dead) == (make is ended)
        if make is parked:
            assert worker.do(lambda: foreign.switch("from its own thread")) == "from its own thread"


def test_a_refused_switch_leaves_both_threads_unharmed() -> None:
    with Worker() as worker:
        foreign = worker.do(parked)

        def body() -> str:
            with pytest.raises(error):
                foreign.switch()
            return str(to_parent("parked after the refusal"))

        it = greenlet(body)
        assert it.switch() == "parked after the refusal"
        assert it.switch("woken") == "woken"
        assert worker.do(lambda: foreign.switch(42)) == 42


@pytest.mark.parametrize("move", [greenlet.switch, greenlet.throw], ids=["switch", "throw"])
def test_going_to_a_greenlet_of_an_ended_thread_is_refused(move: Callable[[greenlet], object]) -> None:
    for make in (parked, ended, getcurrent):
        gone = in_thread(make)
        with pytest.raises(error, match="different thread"):
            move(gone)


def test_local_variables_of_a_thread_are_shared_by_its_greenlets() -> None:
    local = threading.local()
    local.word = "thread"
    it = greenlet(lambda: (local.word, setattr(local, "word", "greenlet"))[0])
    assert it.switch() == "thread"
    assert local.word == "greenlet"


def test_threads_switch_their_greenlets_at_the_same_time(_threads_take_turns_often: None) -> None:
    def body(name: int, total: int = 0) -> int:
        local = [name] * 10
        for number in range(scaled(200)):
            total += to_parent(number)
            assert local == [name] * 10
        return total

    def work(name: int) -> list[int]:
        crowd = [greenlet(body) for _ in range(10)]
        for it in crowd:
            it.switch(name)
        results: list[int] = []
        for number in range(scaled(200)):
            results = [it.switch(number) for it in crowd]
        assert all(it.dead for it in crowd)
        return results

    with ThreadPoolExecutor(6) as pool:
        for results in pool.map(work, range(6)):
            assert results == [sum(range(scaled(200)))] * 10


def test_a_greenlet_may_start_and_join_threads() -> None:
    def body() -> int:
        return int(in_thread(lambda: greenlet(lambda: in_thread(lambda: greenlet(lambda: 42).switch())).switch()))

    assert greenlet(body).switch() == 42


def test_a_switch_while_another_thread_runs_in_c_code_without_the_lock() -> None:
    over = threading.Event()

    def sleeps() -> None:
        while not over.is_set():
            time.sleep(0.0005)

    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(lambda: greenlet(sleeps).switch()) for _ in range(3)]
        it = parked(lambda: [to_parent() for _ in range(scaled(2000))])
        for _ in range(scaled(2000)):
            it.switch()
        over.set()
        for done in waiting:
            done.result(patience(60))


def test_a_greenlet_dropped_in_another_thread_is_ended_in_its_own_at_getcurrent() -> None:
    seen: list[object] = []

    def body() -> None:
        try:
            to_parent()
        except GreenletExit:
            seen.append(threading.get_ident())

    with Worker() as worker:
        holder = [worker.do(lambda: parked(body))]
        ident = worker.do(threading.get_ident)
        reference = weakref.ref(holder[0])
        holder.clear()
        gc.collect()
        assert seen == []
        worker.do(getcurrent)
        assert seen == [ident]
        assert reference() is None


def test_a_greenlet_dropped_in_another_thread_is_ended_in_its_own_at_a_switch() -> None:
    seen: list[object] = []

    def body() -> None:
        try:
            to_parent()
        except GreenletExit:
            seen.append(threading.get_ident())

    with Worker() as worker:
        ident = worker.do(threading.get_ident)
        waiting = worker.do(lambda: parked(lambda: [to_parent() for _ in range(10)]))
        holder = [worker.do(lambda: parked(body)) for _ in range(5)]
        holder.clear()
        assert seen == []
        worker.do(waiting.switch)
        assert seen == [ident] * 5
        del waiting


@pytest.mark.beyond_greenlet
def test_a_greenlet_dropped_in_another_thread_is_ended_when_its_own_ends() -> None:
    seen: list[object] = []

    def body() -> None:
        try:
            to_parent()
        finally:
            seen.append(threading.get_ident())

    with Worker() as worker:
        ident = worker.do(threading.get_ident)
        holder = [worker.do(lambda: parked(body))]
        holder.clear()
    assert seen == [ident]


def test_unstarted_and_dead_greenlets_may_be_dropped_in_any_thread() -> None:
    class Own(greenlet):
        pass

    with Worker() as worker:
        holder = worker.do(lambda: [Own(int), Own(int)])
        worker.do(holder[1].switch)
        references = [weakref.ref(it) for it in holder]
        holder.clear()
        gc.collect()
        assert [reference() for reference in references] == [None, None]


@pytest.mark.beyond_greenlet
def test_a_cycle_found_by_the_collector_of_another_thread_is_ended_in_its_own() -> None:
    seen: list[object] = []

    def body() -> None:
        me = getcurrent()
        try:
            to_parent()
        finally:
            seen.append(threading.get_ident() if me is getcurrent() else None)

    with Worker() as worker:
        ident = worker.do(threading.get_ident)
        worker.do(lambda: parked(body) and None)
        gc.collect()
        worker.do(getcurrent)
        gc.collect()
        worker.do(getcurrent)
        assert seen == [ident]


def test_greenlets_that_nobody_else_holds_are_ended_with_their_thread() -> None:
    seen: list[object] = []

    def body() -> None:
        try:
            to_parent()
        except GreenletExit:
            seen.append(threading.get_ident())
            raise

    def work() -> int:
        crowd = [parked(body) for _ in range(5)]
        assert crowd
        return threading.get_ident()

    ident = in_thread(work)
    assert seen == [ident] * 5


def test_an_ended_thread_leaves_no_greenlet_behind() -> None:
    references: list[weakref.ref[greenlet]] = []

    def work() -> None:
        main = getcurrent()
        main.kept = [ended() for _ in range(3)]  # type: ignore[attr-defined]
        references.extend(weakref.ref(it) for it in [main, *main.kept, parked()])  # type: ignore[attr-defined]

    for _ in range(3):
        in_thread(work)
    assert len(references) == 15
    assert eventually(lambda: getcurrent() and gc.collect() >= 0 and not any(reference() for reference in references))


@measures_memory
def test_thousands_of_short_threads_leave_nothing_behind() -> None:
    def work() -> None:
        it = parked(lambda: below_c(3, to_parent))
        assert it.switch(42) == 42
        parked()

    def many() -> None:
        for _ in range(scaled(300, least=100)):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        getcurrent()

    assert least_growth(many, lambda: instances_of(greenlet)) <= 0
    assert least_growth(many, resident_bytes, rounds=3) < 2_000_000
    assert least_growth(many, mapping_count, rounds=2) < 20


def test_greenlets_of_many_threads_live_and_end_at_the_same_time() -> None:
    together = threading.Barrier(8)

    def work() -> bool:
        crowd = [parked(lambda: below_c(2, to_parent)) for _ in range(50)]
        together.wait(patience(60))
        return [it.switch(number) for number, it in enumerate(crowd)] == list(range(50))

    for _ in range(scaled(3)):
        with ThreadPoolExecutor(8) as pool:
            assert all(done.result(patience(60)) for done in [pool.submit(work) for _ in range(8)])


def test_dropping_from_other_threads_while_the_owner_switches(_threads_take_turns_often: None) -> None:
    dropped: list[list[greenlet]] = []
    ends = [0]
    made = scaled(2000)

    def body() -> None:
        try:
            to_parent()
        finally:
            ends[0] += 1

    over = threading.Event()

    def dropper() -> None:
        while not over.is_set() or dropped:
            try:
                dropped.pop().clear()
            except IndexError:
                time.sleep(0.0001)

    droppers = [threading.Thread(target=dropper) for _ in range(3)]
    for thread in droppers:
        thread.start()
    for _ in range(made):
        dropped.append([parked(body)])
    over.set()
    for thread in droppers:
        thread.join(patience(60))
    getcurrent()
    assert ends == [made]


def test_a_thread_that_exits_from_inside_a_greenlet_ends_quietly() -> None:
    out = output_of(
        """
import _thread, sys, threading
from gossamer.switching import greenlet, getcurrent

def exits(how):
    how()

for how in (sys.exit, _thread.exit):
    thread = threading.Thread(target=lambda: greenlet(exits).switch(how))
    thread.start()
    thread.join()
print("both ended")
"""
    )
    assert out == "both ended\n"


def test_an_uncaught_error_of_a_greenlet_is_that_of_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda event: reported.append(event.exc_type))

    def fails() -> None:
        raise LookupError

    thread = threading.Thread(target=lambda: greenlet(fails).switch())
    thread.start()
    thread.join()
    assert reported == [LookupError]


@pytest.mark.skipif(IS_FREE_THREADED, reason="a free-threaded build calls the finalizer anywhere, not in getcurrent()")
def test_a_finalizer_that_hands_over_to_another_thread_during_getcurrent_is_harmless() -> None:
    here, there = threading.Semaphore(0), threading.Semaphore(0)

    class Hands:
        def __del__(self) -> None:
            there.release()
            assert here.acquire(timeout=patience(60))

    def other() -> None:
        assert there.acquire(timeout=patience(60))
        getcurrent()
        holder.clear()
        here.release()
        assert there.acquire(timeout=patience(60))
        getcurrent()
        here.release()

    main = getcurrent()
    holder = [parked()]
    holder[0].hands = Hands()  # type: ignore[attr-defined]
    thread = threading.Thread(target=other)
    thread.start()
    there.release()
    assert here.acquire(timeout=patience(60))
    assert getcurrent() is main
    thread.join(patience(60))
    assert not thread.is_alive()


def test_a_destructor_at_the_very_end_of_a_thread_finds_no_greenlets_and_leaves_none() -> None:
    out = output_of("""
import sys
import threading
from gossamer import _core
from gossamer.switching import getcurrent

sys.unraisablehook = lambda details: print(type(details.exc_value).__name__, details.exc_value)
local = threading.local()

class Asks:
    def __del__(self):
        getcurrent()

def work():
    getcurrent()
    local.kept = Asks()

for _ in range(2):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
assert [it for it, _ in _core.frames()] == [getcurrent()]
""")
    # later versions drop thread locals first, when there still are greenlets
    refusals = 2 if sys.version_info < (3, 13) else 0
    assert out == "RuntimeError greenlets cannot be used any more: the thread is ending\n" * refusals
