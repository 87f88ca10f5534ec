"""Installing points: what existed before is reached, nothing else changes, each group can be switched off."""

import time

import pytest

from gossamer import _core
from tests.support.children import output_of

BEFORE = """
import sys, threading, time
from time import sleep
taken_before = sleep
lock = threading.Lock()
bound = lock.acquire
condition = threading.Condition()

def hot():
    for _ in range(3000):
        sleep(0)

hot()
assert 'gossamer' not in sys.modules
from gossamer import _core
"""

OVERLAP = """
def overlap(pause):
    order = []
    def nap(name, seconds):
        pause(seconds)
        order.append(name)
    threads = [_core.spawn(nap, 'late', 0.05), _core.spawn(nap, 'early', 0.01)]
    for thread in threads:
        thread.join()
    return order
"""


def test_every_target_of_the_tables_is_found() -> None:
    assert _core.points_install(True) == []


def test_a_function_imported_before_the_first_hub_parks() -> None:
    out = output_of(BEFORE + OVERLAP + "print(overlap(taken_before))")
    assert out == "['early', 'late']\n"


def test_a_call_site_that_was_hot_before_parks() -> None:
    out = output_of(
        BEFORE
        + """
order = []
def nap(name):
    hot()
    order.append(name)
threads = [_core.spawn(nap, name) for name in 'ab']
turns = []
threads.append(_core.spawn(lambda: turns.extend(sleep(0) or order[:] for _ in range(10))))
for thread in threads:
    thread.join()
print(order, turns == [[]] * 10)
"""
    )
    assert out == "['a', 'b'] True\n"


def test_a_method_bound_before_the_first_hub_parks() -> None:
    out = output_of(
        BEFORE
        + """
order = []
bound()
def take():
    bound()
    order.append('taken')
thread = _core.spawn(take)
sleep(0)
order.append('released')
lock.release()
thread.join()
print(order)
"""
    )
    assert out == "['released', 'taken']\n"


def test_a_condition_made_before_the_first_hub_works_among_green_threads() -> None:
    out = output_of(
        BEFORE
        + """
woken = []
def wait(name):
    with condition:
        condition.wait()
        woken.append(name)
threads = [_core.spawn(wait, name) for name in 'abc']
sleep(0)
with condition:
    condition.notify_all()
for thread in threads:
    thread.join()
print(woken)
"""
    )
    assert out == "['a', 'b', 'c']\n"


def test_a_point_keeps_the_name_the_documentation_and_the_signature() -> None:
    _core.points_install()
    original = _core.original("time", None, "sleep")
    assert (time.sleep.__name__, time.sleep.__doc__) == (original.__name__, original.__doc__)
    assert repr(time.sleep) == "<built-in function sleep>"


def test_the_original_stays_callable_and_blocks() -> None:
    out = output_of(BEFORE + OVERLAP + "_core.points_install(); print(overlap(_core.original('time', None, 'sleep')))")
    assert out == "['late', 'early']\n"


def test_what_is_no_point_has_no_original() -> None:
    assert _core.original("time", None, "monotonic") is None


def test_a_group_that_is_switched_off_runs_the_original() -> None:
    out = output_of(
        BEFORE
        + OVERLAP
        + """
_core.points_install()
assert _core.points_switch('time', False) == 1
print(overlap(sleep))
_core.points_switch('time', True)
print(overlap(sleep))
"""
    )
    assert out == "['late', 'early']\n['early', 'late']\n"


def test_installing_again_changes_nothing() -> None:
    _core.points_install()
    before = _core.points()
    assert _core.points_install(True) == []
    assert _core.points() == before


def test_a_thread_without_a_hub_blocks_natively() -> None:
    out = output_of(
        BEFORE
        + """
_core.points_install()
def native():
    sleep(0.01)
    print([greenlet for greenlet, _ in _core.frames()] == [_core.getcurrent()])
print(_core.counts()['alive'])
thread = threading.Thread(target=native)
thread.start()
thread.join()
"""
    )
    assert out.splitlines()[0] == "0"


@pytest.mark.parametrize("argument", ["-1", "float('nan')", "'x'", "None", "10**100", "float('inf')"])
def test_what_sleep_refuses_is_refused_as_ever(argument: str) -> None:
    out = output_of(
        f"""
import time
def refusal():
    try:
        time.sleep({argument})
    except Exception as error:
        return type(error).__name__, str(error)
before = refusal()
from gossamer import _core
_core.get_hub()
thread = _core.spawn(lambda: print(refusal() == before and before is not None))
thread.join()
"""
    )
    assert out == "True\n"
