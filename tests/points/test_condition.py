"""threading.Condition and what is built on it: green threads park, native ones block, and each wakes the other."""

import inspect
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import spawn
from tests.support.children import output_of
from tests.support.waiting import eventually

METHODS = ("__enter__", "__exit__", "wait", "notify", "notify_all")


@pytest.fixture(autouse=True)
def _points() -> None:
    _core.get_hub()


@pytest.fixture(params=[threading.Lock, threading.RLock])
def condition(request: pytest.FixtureRequest) -> threading.Condition:
    return threading.Condition(request.param())


@pytest.fixture
def native() -> Iterator[Callable[..., threading.Thread]]:
    """Starts OS threads, and sees to their end without blocking the hub."""
    threads = []

    def start(function: Callable[..., object], *args: Any) -> threading.Thread:
        thread = threading.Thread(target=function, args=args)
        thread.start()
        threads.append(thread)
        return thread

    yield start
    assert eventually(lambda: not any(thread.is_alive() for thread in threads))


def ended(*threads: _core.GreenThread) -> None:
    for thread in threads:
        thread.join(timeout=60)
        assert thread.ready()


def waiters_of(condition: Any) -> int:
    return len(condition._waiters)


def original(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = _core.original("threading", "Condition", name)
    return found


def reached(count: Callable[[], int], number: int) -> bool:
    return count() == number


class Waiting:
    """Green threads that wait, and the order in which they went on."""

    def __init__(self, condition: threading.Condition) -> None:
        self.condition = condition
        self.woken: list[Any] = []

    def start(self, name: Any, wait: Callable[..., Any] | None = None, *args: Any) -> _core.GreenThread:
        def run() -> None:
            with self.condition:
                (wait or threading.Condition.wait)(self.condition, *args)
                self.woken.append(name)

        before = waiters_of(self.condition)
        thread = spawn(run)
        _core.sleep(0)
        # the original looks whether a plain lock is held by trying for it: in vain, so that others may have a turn
        assert eventually(partial(reached, lambda: waiters_of(self.condition), before + 1))
        return thread


def test_notify_wakes_as_many_as_it_is_asked_to_in_the_order_they_came(condition: threading.Condition) -> None:
    waiting = Waiting(condition)
    threads = [waiting.start(number) for number in range(5)]
    for call, expected in (
        (condition.notify, [0]),
        (partial(condition.notify, n=2), [0, 1, 2]),
        (partial(condition.notify, 0), [0, 1, 2]),
        (condition.notify_all, [0, 1, 2, 3, 4]),
    ):
        with condition:
            call()
        for _ in range(10):
            _core.sleep(0)
        assert waiting.woken == expected
    ended(*threads)
    assert waiters_of(condition) == 0


def test_wait_takes_the_lock_back_as_often_as_it_was_held() -> None:
    condition: Any = threading.Condition()
    seen: list[int] = []

    def wait() -> None:
        with condition, condition:
            assert condition.wait()
            seen.append(condition._is_owned())
            condition.release()
            seen.append(condition._is_owned())
            condition.acquire()

    thread = spawn(wait)
    _core.sleep(0)
    with condition:
        condition.notify()
    ended(thread)
    assert seen == [True, True]
    assert condition.acquire(blocking=False)
    condition.release()


def test_a_wait_that_nobody_ends_is_over_after_its_timeout(condition: threading.Condition) -> None:
    got: list[Any] = []

    def wait() -> None:
        with condition:
            got.extend([condition.wait(0.01), condition.wait(timeout=0.01), condition.wait(0), condition.wait(-1)])
            got.append(condition._is_owned())  # type: ignore[attr-defined]

    ended(spawn(wait))
    assert got == [False, False, False, False, True]
    assert waiters_of(condition) == 0


def test_one_that_gave_up_is_not_notified_in_place_of_the_next(condition: threading.Condition) -> None:
    waiting = Waiting(condition)
    first = waiting.start("first", threading.Condition.wait, 0.01)
    second = waiting.start("second")
    ended(first)
    with condition:
        condition.notify()
    ended(second)
    assert waiting.woken == ["first", "second"]


def test_one_that_is_notified_after_its_time_and_before_it_has_the_lock_was_notified(
    condition: threading.Condition,
) -> None:
    got: list[bool] = []

    def wait() -> None:
        with condition:
            got.append(condition.wait(0.01))

    thread = spawn(wait)
    _core.sleep(0)
    with condition:
        _core.sleep(0.05)
        condition.notify()
    ended(thread)
    assert got == [True]


@pytest.mark.parametrize("call", ["wait", "notify", "notify_all"])
def test_a_condition_that_is_not_held_is_refused_as_ever(condition: threading.Condition, call: str) -> None:
    with pytest.raises(RuntimeError, match="cannot .* on un-acquired lock"):
        getattr(condition, call)()


@pytest.mark.parametrize(
    ("method", "args", "kwargs"),
    [
        ("wait", ("soon",), {}),
        ("wait", (1, 2), {}),
        ("wait", (), {"seconds": 1}),
        ("wait", (1,), {"timeout": 1}),
        ("wait", (float("nan"),), {}),
        ("wait", (1e30,), {}),
        ("notify", ("one",), {}),
        ("notify", (1, 2), {}),
        ("notify", (), {"number": 1}),
        ("notify_all", (1,), {}),
    ],
)
def test_what_a_method_refuses_is_refused_as_ever(
    condition: threading.Condition, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    def outcome(call: Callable[..., Any]) -> object:
        with condition:
            try:
                return call(condition, *args, **kwargs)
            except Exception as error:
                return type(error)

    assert outcome(getattr(threading.Condition, method)) == outcome(original(method))


def test_leaving_a_condition_whose_lock_was_released_inside_is_refused_as_ever(condition: threading.Condition) -> None:
    with pytest.raises(RuntimeError, match="release un"), condition:
        condition.release()


def test_a_killed_waiter_holds_the_lock_when_it_unwinds(condition: threading.Condition) -> None:
    held: list[Any] = []

    def wait() -> None:
        with condition:
            try:
                condition.wait()
            finally:
                held.append(condition._is_owned())  # type: ignore[attr-defined]

    thread = spawn(wait)
    _core.sleep(0)
    with condition:
        assert _core.interrupt(thread, _core.GreenletExit())
        _core.sleep(0)
        _core.sleep(0)
        assert held == []
    ended(thread)
    assert held == [True]
    assert waiters_of(condition) == 0


def test_an_interruption_while_the_lock_is_taken_back_is_raised_once_it_is_held(condition: threading.Condition) -> None:
    seen: list[Any] = []

    def wait() -> None:
        with condition:
            try:
                condition.wait()
            except KeyError as error:
                seen.append((condition._is_owned(), type(error.__context__)))  # type: ignore[attr-defined]

    thread = spawn(wait)
    _core.sleep(0)
    with condition:
        _core.interrupt(thread, ValueError())
        _core.sleep(0)
        _core.interrupt(thread, KeyError())
        _core.sleep(0)
        assert seen == []
    ended(thread)
    assert seen == [(True, ValueError)]


@pytest.mark.parametrize("notified_first", [True, False])
def test_a_notification_is_not_lost_when_its_waiter_is_interrupted(
    condition: threading.Condition, notified_first: bool
) -> None:
    waiting = Waiting(condition)

    def wait() -> None:
        with pytest.raises(KeyError), condition:
            condition.wait()

    first = spawn(wait)
    _core.sleep(0)
    second = waiting.start("second")
    with condition:
        steps: list[Callable[[], object]] = [condition.notify, partial(_core.interrupt, first, KeyError())]
        for step in steps if notified_first else reversed(steps):
            step()
    ended(first, second)
    assert waiting.woken == ["second"]


def test_native_and_green_threads_notify_each_other_in_the_order_they_wait(
    condition: threading.Condition, native: Callable[..., threading.Thread]
) -> None:
    woken: list[str] = []

    def wait(name: str) -> None:
        with condition:
            condition.wait()
            woken.append(name)

    def notify() -> None:
        with condition:
            condition.notify()

    starts: list[Callable[..., object]] = [native, spawn] * 3
    for number, start in enumerate(starts, 1):
        start(wait, str(number))
        assert eventually(partial(reached, lambda: waiters_of(condition), number))
    for number in range(1, 7):
        starts[number // 3](notify)
        assert eventually(partial(reached, lambda: len(woken), number))
    assert woken == ["1", "2", "3", "4", "5", "6"]


def test_methods_of_the_threading_module_and_ours_work_on_one_condition(condition: threading.Condition) -> None:
    waiting = Waiting(condition)
    threads = [waiting.start(number, original("wait") if number % 2 else None) for number in range(6)]
    with condition:
        original("notify")(condition, 2)
        condition.notify(2)
        original("notify_all")(condition)
    ended(*threads)
    assert waiting.woken == [0, 1, 2, 3, 4, 5]


class Counting(threading.Condition):
    def __init__(self, lock: Any = None) -> None:
        super().__init__(lock)
        self.calls: list[str] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.calls.append("wait")
        return super().wait(timeout)

    def notify(self, n: int = 1) -> None:
        self.calls.append("notify")
        super().notify(n)


def test_a_subclass_is_asked_for_what_it_overrides() -> None:
    condition = Counting()
    waiting = Waiting(condition)
    thread = waiting.start("it", lambda it: it.wait_for(lambda: len(condition.calls) > 1))
    with condition:
        condition.notify_all()
    ended(thread)
    assert condition.calls == ["wait", "notify"]


class Chained:
    """A lock of a user's own, without the private methods that threading looks for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acquire, self.release, self.locked = self._lock.acquire, self._lock.release, self._lock.locked

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *details: object) -> None:
        self.release()


def test_a_condition_over_a_lock_of_a_users_own_works() -> None:
    condition = threading.Condition(Chained())  # type: ignore[arg-type]
    waiting = Waiting(condition)
    thread = waiting.start("it")
    with condition:
        condition.notify()
    ended(thread)
    assert waiting.woken == ["it"]


def test_a_raw_greenlet_may_wait(condition: threading.Condition) -> None:
    def wait() -> bool:
        with condition:
            return condition.wait()

    def notify() -> None:
        with condition:
            condition.notify()

    spawn(lambda: _core.sleep(0) or notify())
    assert _core.greenlet(wait).switch() is True


def test_a_callback_on_the_hub_notifies_but_cannot_wait(condition: threading.Condition) -> None:
    waiting = Waiting(condition)
    thread = waiting.start("it")
    errors: list[type] = []

    def call() -> None:
        with condition:
            try:
                condition.wait()
            except _core.BlockingSwitchOutError as error:
                errors.append(type(error))
            condition.notify()

    _core.get_hub().run_callback(call)
    ended(thread)
    assert errors == [_core.BlockingSwitchOutError]
    assert waiters_of(condition) == 0


def test_the_methods_have_the_name_the_documentation_and_the_signature_of_the_originals() -> None:
    for name in METHODS:
        ours, theirs = getattr(threading.Condition, name), original(name)
        assert ours is not theirs
        assert (ours.__name__, ours.__qualname__) == (theirs.__name__, theirs.__qualname__)
        assert (ours.__doc__ or "") == (theirs.__doc__ or "")
        assert [*inspect.signature(ours).parameters] == [*inspect.signature(theirs).parameters]


def test_bound_methods_and_waiters_from_before_the_first_hub_go_on_working() -> None:
    out = output_of(
        """
import threading
condition = threading.Condition()
wait, notify, enter = condition.wait, condition.notify, condition.__enter__
event = threading.Event()
log = []
def native():
    with condition:
        condition.wait()
        log.append('native')
    event.set()
threading.Thread(target=native).start()
while not condition._waiters:
    pass
from gossamer import _core
def green(wait):
    with condition:
        wait()
        log.append('green')
threads = [_core.spawn(green, wait), _core.spawn(green, condition.wait)]
_core.sleep(0)
enter()
notify()
condition.notify(1)
notify()
condition.release()
for thread in threads:
    thread.join()
event.wait()
print(sorted(log))
"""
    )
    assert out == "['green', 'green', 'native']\n"


def test_a_class_whose_methods_somebody_replaced_before_is_left_alone() -> None:
    out = output_of(
        """
import threading
calls = []
def notify(self, n=1, before=threading.Condition.notify):
    calls.append(n)
    before(self, n)
threading.Condition.notify, notify.__module__ = notify, 'elsewhere'
from gossamer import _core
missing = _core.points_install()
condition = threading.Condition()
def wait():
    with condition:
        condition.wait()
thread = _core.spawn(wait)
_core.sleep(0)
with condition:
    condition.notify()
thread.join()
print(missing, calls)
"""
    )
    assert out == "['threading.Condition.notify'] [1]\n"


def test_switched_off_the_original_runs_in_green_threads_too() -> None:
    out = output_of(
        """
import threading
from gossamer import _core
_core.get_hub()
_core.points_switch('lock', False)
condition = threading.Condition()
with condition:
    print(condition.wait(0.01))
    condition.notify()
"""
    )
    assert out == "False\n"


def test_everything_parked_on_a_condition_for_ever_is_reported() -> None:
    out = output_of(
        """
import threading
from gossamer import _core
_core.get_hub()
condition = threading.Condition()
try:
    with condition:
        condition.wait()
except _core.LoopExit as error:
    print('waits for <Condition(' in str(error), condition._waiters)
"""
    )
    assert out == "True deque([])\n"


def test_a_waiter_whose_lock_is_never_free_again_is_told_by_LoopExit() -> None:
    out = output_of(
        """
import threading
from gossamer import _core
_core.get_hub()
condition = threading.Condition(threading.Lock())
try:
    with condition:
        _core.spawn(condition.acquire)
        condition.wait()
except RuntimeError as error:
    print(type(error.__context__).__name__, error)
except _core.LoopExit as error:
    print('LoopExit')
"""
    )
    assert out == "LoopExit\n"


def test_a_thread_that_ends_ends_those_that_wait_in_it() -> None:
    out = output_of(
        """
import threading
log = []
def run():
    from gossamer import _core
    condition = threading.Condition()
    def wait(name):
        try:
            with condition:
                condition.wait()
        finally:
            log.append(name)
    for name in range(3):
        _core.spawn(wait, name)
    _core.sleep(0)
thread = threading.Thread(target=run)
thread.start()
thread.join()
print(sorted(log))
"""
    )
    assert out == "[0, 1, 2]\n"


def test_green_threads_that_wait_survive_a_fork() -> None:
    out = output_of(
        """
import os, threading
from gossamer import _core
condition = threading.Condition()
log = []
def wait():
    with condition:
        condition.wait()
        log.append('woken')
thread = _core.spawn(wait)
_core.sleep(0)
pid = os.fork()
with condition:
    condition.notify()
thread.join()
if pid == 0:
    os._exit(len(log))
print(log, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    )
    assert out == "['woken'] 1\n"


@pytest.mark.parametrize("native_first", [True, False])
def test_events_semaphores_and_barriers_are_shared_by_native_and_green_threads(
    native: Callable[..., object], native_first: bool
) -> None:
    event, semaphore, barrier = threading.Event(), threading.Semaphore(0), threading.Barrier(3)
    passed: list[str] = []

    def work(name: str) -> None:
        event.wait()
        semaphore.acquire()
        barrier.wait()
        passed.append(name)

    starts: list[Callable[..., object]] = [native, spawn]
    for start in starts if native_first else reversed(starts):
        start(work, "a name")
    event.set()
    semaphore.release(2)
    barrier.wait()
    assert eventually(lambda: len(passed) == 2)


def test_waiting_with_a_timeout_is_not_the_OS_threads_business() -> None:
    condition = threading.Condition()
    order: list[str] = []

    def wait() -> None:
        with condition:
            condition.wait(60)
            order.append("woken")

    def other() -> None:
        time.sleep(0.01)
        order.append("other")
        with condition:
            condition.notify_all()

    ended(spawn(wait), spawn(other))
    assert order == ["other", "woken"]
