"""gossamer.util: text about what runs, and helpers for functions."""

import io
import traceback

import pytest

from gossamer import sleep, spawn
from gossamer.util import assert_switches, format_run_info, print_run_info, wrap_errors
from tests.support.runtime import turns


def waits_here() -> None:
    sleep(60)


def test_the_run_info_says_where_each_greenlet_stands() -> None:
    it = spawn(waits_here)
    turns(1)
    lines = format_run_info()
    assert repr(it) in lines
    assert any("in waits_here" in line for line in lines)
    assert any(line.startswith("Thread 0x") for line in lines)
    assert not any("in waits_here" in line for line in format_run_info(greenlet_stacks=False, thread_stacks=False))
    stream = io.StringIO()
    print_run_info(limit=1, file=stream)
    assert "in waits_here" in stream.getvalue()
    it.kill()


def test_errors_of_the_kinds_that_are_named_are_returned() -> None:
    function = wrap_errors((KeyError, ValueError), int)
    assert function("3") == 3
    assert isinstance(function("three"), ValueError)
    assert function.func is int
    assert function.__name__ == "int"
    assert repr(function) == repr(int)
    with pytest.raises(TypeError):
        function(None)


def test_a_block_that_lets_others_run_passes() -> None:
    with assert_switches(), assert_switches():
        spawn(int).join()
    with assert_switches(hub_only=True):
        sleep(0.001)


def test_a_block_that_lets_nobody_run_is_an_error() -> None:
    with pytest.raises(AssertionError, match="did not switch"), assert_switches():
        traceback.extract_stack()
