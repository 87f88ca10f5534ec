"""The monitoring thread: who blocks the hub, how much memory the process has, and functions of one's own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import gossamer
from gossamer import get_hub
from gossamer._sync.monitor import PeriodicMonitoringThread
from gossamer.events import (
    EventLoopBlocked,
    MemoryUsageThresholdExceeded,
    MemoryUsageUnderThreshold,
    PeriodicMonitorThreadStartedEvent,
    subscribers,
)
from tests.support.children import output_of, run_child


@pytest.fixture
def settings() -> Iterator[Any]:
    """config, put back at the end."""
    before = {name: getattr(gossamer.config, name) for name in ("max_blocking_time", "max_memory_usage")}
    yield gossamer.config
    for name, value in before.items():
        setattr(gossamer.config, name, value)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    told: list[Any] = []
    subscribers.append(told.append)
    yield told
    subscribers.remove(told.append)


@pytest.fixture
def monitor(settings: Any) -> PeriodicMonitoringThread:
    """One that looks only when the test does."""
    settings.max_blocking_time = 0
    made = PeriodicMonitoringThread(get_hub())
    made.kill()
    return made


WATCHED = """
import gossamer, io, time
from gossamer import config
from gossamer.events import EventLoopBlocked, PeriodicMonitorThreadStartedEvent, subscribers
hub = gossamer.get_hub()
events = []
subscribers.append(events.append)
config.max_blocking_time = 0.02
stream = io.StringIO()
type(hub).exception_stream = stream

def compute_until(done):
    deadline = time.monotonic() + 60
    while not done() and time.monotonic() < deadline:
        pass
"""


def test_a_greenlet_that_blocks_the_hub_is_told_of_by_name_and_place() -> None:
    assert (
        output_of(
            WATCHED
            + """
monitor = hub.start_periodic_monitoring_thread()
thread = gossamer.spawn(compute_until, lambda: stream.getvalue().endswith(chr(10)))
thread.join()
blocked = next(event for event in events if isinstance(event, EventLoopBlocked))
print(blocked.greenlet is thread, blocked.hub is hub, blocked.blocking_time)
text = stream.getvalue()
print('has blocked its hub for 0.02 seconds or more' in text, 'in compute_until' in text, 'MainThread' in text)
"""
        )
        == "True True 0.02\nTrue True False\n"
    )


def test_a_subscriber_may_change_what_is_printed_and_printing_may_be_switched_off() -> None:
    assert (
        output_of(
            WATCHED
            + """
subscribers.append(lambda event: event.info.__setitem__(slice(None), ['mine']) if hasattr(event, 'info') else None)
monitor = hub.start_periodic_monitoring_thread()
compute_until(stream.getvalue)
print(set(stream.getvalue().split()))
config.print_blocking_reports = False
gossamer.sleep(0.05)
length, told = len(stream.getvalue()), len(events)
compute_until(lambda: len(events) > told)
print(len(stream.getvalue()) == length)
"""
        )
        == "{'mine'}\nTrue\n"
    )


def test_a_hub_that_sleeps_or_gets_its_turns_is_not_blocked() -> None:
    assert (
        output_of(
            WATCHED
            + """
config.max_blocking_time = 0.4  # a busy machine may keep the processor from it for a while
looks = []
monitor = hub.start_periodic_monitoring_thread()
monitor.add_monitoring_function(lambda hub: looks.append(1), 0.1)
while len(looks) < 10:
    gossamer.sleep(0)
looks.clear()
while len(looks) < 10:
    gossamer.sleep(1)
print([event for event in events if isinstance(event, EventLoopBlocked)])
"""
        )
        == "[]\n"
    )


def test_the_monitored_hub_hands_on_directly() -> None:
    assert (
        output_of(
            WATCHED
            + """
from gossamer.switching import gettrace
hub.start_periodic_monitoring_thread()
print(gettrace())
"""
        )
        == "None\n"
    )


def test_every_hub_has_a_monitoring_thread_of_its_own_where_the_setting_says_so() -> None:
    assert output_of(
        WATCHED
        + """
import threading
print(hub.periodic_monitoring_thread)
config.monitor_thread = True
monitor = hub.periodic_monitoring_thread
print(monitor.hub is hub, hub.start_periodic_monitoring_thread() is monitor, len(monitor.monitoring_functions()))
others = []
def other():
    gossamer.sleep(0)
    others.append(gossamer.get_hub().periodic_monitoring_thread)
thread = threading.Thread(target=other)
thread.start()
thread.join()
print(others[0] is not monitor, others[0].should_run, len(others[0].monitoring_functions()))
print([type(event).__name__ for event in events], events[0].monitor is monitor)
hub.destroy()
print(monitor.should_run, hub.periodic_monitoring_thread)
"""
    ) == (
        "None\nTrue True 2\nTrue False 1\n"
        "['PeriodicMonitorThreadStartedEvent', 'PeriodicMonitorThreadStartedEvent'] True\nFalse None\n"
    )


def test_a_monitoring_thread_does_not_keep_the_hub_from_noticing_that_all_wait_for_ever() -> None:
    assert (
        output_of(
            WATCHED
            + """
from gossamer.event import Event
hub.start_periodic_monitoring_thread()
try:
    Event().wait()
except gossamer.hub.LoopExit:
    print('LoopExit')
""",
        )
        == "LoopExit\n"
    )


def test_a_forked_child_is_monitored_anew() -> None:
    assert (
        output_of(
            WATCHED
            + """
import os
monitor = hub.start_periodic_monitoring_thread()
pid = os.fork()
if pid == 0:
    looks = []
    monitor.add_monitoring_function(lambda hub: looks.append(1), 0.005)
    while not looks:
        gossamer.sleep(0.001)
    os._exit(0 if monitor.pid == os.getpid() else 1)
print(os.waitpid(pid, 0)[1])
"""
        )
        == "0\n"
    )


def test_what_a_monitoring_function_raises_is_told_to_the_hub_and_the_others_go_on() -> None:
    assert (
        output_of(
            WATCHED
            + """
looks = []
def fail(hub):
    raise OSError('mine')
monitor = hub.start_periodic_monitoring_thread()
monitor.add_monitoring_function(fail, 0.005)
monitor.add_monitoring_function(lambda hub: looks.append(hub), 0.005)
while len(looks) < 3:
    gossamer.sleep(0.001)
print(looks[0] is hub, 'OSError: mine' in stream.getvalue())
"""
        )
        == "True True\n"
    )


def test_a_greenlet_may_ask_not_to_be_told_of(monitor: PeriodicMonitoringThread, events: list[Any]) -> None:
    hub = get_hub()
    assert monitor.monitor_blocking(hub) is None
    assert isinstance(monitor.monitor_blocking(hub), EventLoopBlocked)
    monitor.ignore_current_greenlet_blocking()
    assert monitor.monitor_blocking(hub) is None
    monitor.monitor_current_greenlet_blocking()
    assert monitor.monitor_blocking(hub) is not None
    monitor.ignore_current_greenlet_blocking()
    gossamer.sleep(0)
    assert monitor.monitor_blocking(hub) is None
    assert monitor.monitor_blocking(hub) is not None
    assert len(events) == 3


def test_functions_are_added_changed_and_removed(monitor: PeriodicMonitoringThread) -> None:
    seen: list[Any] = []
    monitor.add_monitoring_function(seen.append, 1)
    monitor.add_monitoring_function(seen.append, 2)
    assert [entry.period for entry in monitor.monitoring_functions()] == [None, 2]
    assert monitor.calculate_sleep_time() == 2
    monitor.add_monitoring_function(seen.append, 0.001)
    assert monitor.calculate_sleep_time() == monitor.min_sleep_time
    monitor.add_monitoring_function(seen.append, None)
    assert len(monitor.monitoring_functions()) == 1
    assert monitor.calculate_sleep_time() == monitor.inactive_sleep_time


@pytest.mark.parametrize(("function", "period"), [(None, 1), (print, -1), (print, 0)])
def test_bad_monitoring_functions_are_refused(
    monitor: PeriodicMonitoringThread, function: Callable[..., object], period: float
) -> None:
    with pytest.raises(ValueError, match="monitoring function"):
        monitor.add_monitoring_function(function, period)


def test_memory_is_told_of_when_it_grows_beyond_the_maximum_and_when_it_is_below_again(
    monitor: PeriodicMonitoringThread, settings: Any, events: list[Any]
) -> None:
    assert monitor.can_monitor_memory_usage()
    assert monitor.monitor_memory_usage(None) == -1
    settings.max_memory_usage = 1
    exceeded = monitor.monitor_memory_usage(None)
    assert isinstance(exceeded, MemoryUsageThresholdExceeded)
    assert exceeded.mem_usage == exceeded.memory_info.rss > 1_000_000
    assert exceeded.max_allowed == 1
    ballast = bytearray(exceeded.mem_usage // 2 + 50_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    more = monitor.monitor_memory_usage(None)
    assert isinstance(more, MemoryUsageThresholdExceeded)
    assert more.mem_usage > exceeded.mem_usage
    del ballast
    assert monitor.monitor_memory_usage(None) is None
    settings.max_memory_usage = 1 << 50
    under = monitor.monitor_memory_usage(None)
    assert isinstance(under, MemoryUsageUnderThreshold)
    assert under.max_memory_usage == more.mem_usage
    assert monitor.monitor_memory_usage(None) is None
    assert events == [exceeded, more, under]
    assert "used=" in repr(under)


def test_the_event_of_the_start_names_the_monitor() -> None:
    thing: Any = object()
    assert PeriodicMonitorThreadStartedEvent(thing).monitor is thing


MADE = {
    "by patching": "from gossamer import monkey; monkey.patch_all()",
    "by the core, before their class is known": "from gossamer import _core; _core.get_hub(); import gossamer.hub",
}


def test_a_monitoring_thread_outlives_a_stream_that_was_closed() -> None:
    ended = run_child(
        WATCHED
        + """
looks = []
def fail(hub):
    looks.append(1)
    raise OSError('mine')
stream.close()
hub.start_periodic_monitoring_thread().add_monitoring_function(fail, 0.005)
while len(looks) < 3:
    gossamer.sleep(0.001)
print('goes on')
"""
    )
    assert (ended.status, ended.out) == (0, "goes on\n"), ended.describe()
    assert "I/O operation on closed file" in ended.err


def test_a_monitor_is_killed_by_several_at_once(monitor: PeriodicMonitoringThread) -> None:
    for _ in range(3):
        monitor.kill()


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_the_environment_is_heeded_where_nobody_asks_for_the_hub(made: str) -> None:
    ended = run_child(
        f"{made}\nimport ctypes\ndef culprit():\n    ctypes.CDLL(None).usleep(800000)\nculprit()",
        environment={"GEVENT_MONITOR_THREAD_ENABLE": "yes"},
    )
    assert ended.status == 0, ended.describe()
    assert "has blocked its hub for 0.1 seconds or more" in ended.err
    assert "in culprit" in ended.err
