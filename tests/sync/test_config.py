"""The settings: what they take, what they refuse, and what the environment says."""

from collections.abc import Iterator
from typing import Any

import pytest

from gossamer import config
from tests.support.children import output_of, run_child


@pytest.fixture
def settings() -> Iterator[Any]:
    before = dict(vars(config))
    yield config
    vars(config).clear()
    vars(config).update(before)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("max_blocking_time", "1.5", 1.5),
        ("max_blocking_time", 3, 3.0),
        ("max_blocking_time", 0, None),
        ("max_blocking_time", None, None),
        ("memory_monitor_period", "7", 7.0),
        ("threadpool_idle_task_timeout", True, 1.0),
        ("max_memory_usage", "500MB", 500 << 20),
        ("max_memory_usage", "3kb", 3 << 10),
        ("max_memory_usage", "2GB", 2 << 30),
        ("max_memory_usage", "12", 12),
        ("max_memory_usage", 12, 12),
        ("max_memory_usage", None, None),
        ("print_blocking_reports", "no", False),
        ("print_blocking_reports", " On ", True),
        ("print_blocking_reports", 1, True),
        ("disable_watch_children", "", False),
        ("track_greenlet_tree", "off", False),
        ("trace_malloc", "25", 25),
        ("format_context", "pprint.saferepr", __import__("pprint").saferepr),
        ("format_context", str, str),
        ("resolver_nameservers", "127.0.0.1,127.0.0.2", ["127.0.0.1", "127.0.0.2"]),
    ],
)
def test_words_and_numbers_are_taken_for_what_they_mean(settings: Any, name: str, value: Any, found: Any) -> None:
    setattr(settings, name, value)
    assert getattr(settings, name) == found


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("max_blocking_time", -1, ValueError),
        ("max_blocking_time", "soon", ValueError),
        ("max_blocking_time", float("nan"), ValueError),
        ("max_blocking_time", [3], TypeError),
        ("max_memory_usage", "much", ValueError),
        ("max_memory_usage", "", ValueError),
        ("max_memory_usage", 0, ValueError),
        ("max_memory_usage", [], TypeError),
        ("monitor_thread", "maybe", ValueError),
        ("track_greenlet_tree", "maybe", ValueError),
        ("format_context", 3, TypeError),
        ("format_context", "repr", TypeError),
        ("trace_malloc", "yes", ValueError),
        ("loop", 1, TypeError),
        ("loop", "nope", ImportError),
        ("resolver", ["nope"], ImportError),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_and_changes_nothing(
    settings: Any, name: str, value: Any, error: type[Exception]
) -> None:
    before = getattr(settings, name)
    with pytest.raises(error):
        setattr(settings, name, value)
    assert getattr(settings, name) == before


def test_the_error_names_the_setting_and_what_is_wrong(settings: Any) -> None:
    with pytest.raises(ValueError, match="monitor_thread: 'maybe' is neither"):
        settings.monitor_thread = "maybe"


def test_what_chooses_among_loops_and_resolvers_is_accepted(settings: Any) -> None:
    before = settings.loop
    for value in ("libev-cext", "libuv", ["libuv-cffi", "libev-cffi"], "some.module.Loop", dict):
        settings.loop = value
    settings.resolver = "thread,ares"
    settings.fileobject = "block"
    assert settings.loop is before


def test_the_environment_says_what_they_are_to_begin_with() -> None:
    source = """
import gossamer
from gossamer import config
print(config.max_blocking_time, config.max_memory_usage, config.track_greenlet_tree, config.print_blocking_reports)
print(gossamer.spawn(int).spawning_stack is not None, gossamer.get_hub().periodic_monitoring_thread is not None)
config.max_blocking_time = 4
print(config.max_blocking_time)
"""
    environment = {
        "GEVENT_MAX_BLOCKING_TIME": "3",
        "GEVENT_MONITOR_MEMORY_MAX": "1GB",
        "GEVENT_MONITOR_PRINT_BLOCKING_REPORTS": "no",
        "GEVENT_MONITOR_THREAD_ENABLE": "yes",
        "GEVENT_TRACK_GREENLET_TREE": "1",
    }
    assert output_of(source, environment=environment) == f"3.0 {1 << 30} True False\nTrue True\n4.0\n"


def test_a_word_of_the_environment_that_means_nothing_is_named() -> None:
    ended = run_child("import gossamer; gossamer.get_hub()", environment={"GEVENT_MONITOR_THREAD_ENABLE": "maybe"})
    assert ended.status == 1
    assert "GEVENT_MONITOR_THREAD_ENABLE: 'maybe' is neither" in ended.err
