"""The hub itself: one for each thread, of a class that can be chosen, there again after somebody ended its loop."""

from typing import Any

import pytest

from gossamer._core import Hub, error, get_hub, getcurrent, greenlet, set_hub_class, sleep, spawn
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, in_thread, joined


def test_every_thread_has_one_of_its_own() -> None:
    hub = get_hub()
    assert get_hub() is hub and isinstance(hub, Hub) and isinstance(hub, greenlet)
    others = [in_thread(lambda: (get_hub(), get_hub(), getcurrent())) for _ in range(3)]
    for first, second, main in others:
        assert first is second and first is not hub and main is not first
    assert len({id(first) for first, _, _ in others}) == 3


def test_its_parent_is_the_main_greenlet() -> None:
    assert get_hub().parent is getcurrent()


def test_it_is_the_same_seen_from_anywhere() -> None:
    hub = get_hub()
    assert joined(spawn(get_hub)) == [hub]
    assert greenlet(get_hub).switch() is hub


def test_its_loop_runs_nowhere_else() -> None:
    with pytest.raises(error, match="switch"):
        get_hub().run()
    with pytest.raises(error):
        in_thread(get_hub().run)


def test_one_made_by_hand_is_of_no_use() -> None:
    hub = Hub()
    for act in (hub.switch, hub.run, lambda: hub.run_callback(print), lambda: hub.call_later(0, print)):
        with pytest.raises(error, match="not in use"):
            act()


@pytest.mark.parametrize("kind", [int, greenlet, None, Hub()], ids=["int", "greenlet", "None", "an instance"])
def test_a_hub_class_must_be_a_hub(kind: Any) -> None:
    with pytest.raises(TypeError, match="subclass of Hub"):
        set_hub_class(kind)


def test_a_hub_class_is_used_from_the_next_hub_on() -> None:
    out = output_of(
        PRELUDE
        + """
class Own(Hub):
    def __init__(self):
        self.made = threading.get_native_id()
before = get_hub()
set_hub_class(Own)
print(get_hub() is before)
def work():
    hub = get_hub()
    print(type(hub) is Own, hub.made == threading.get_native_id(), joined(spawn(lambda: sleep(0.001) or 1)))
in_thread(work)
"""
    )
    assert out == "True\nTrue True [1]\n"


@pytest.mark.parametrize("act", ["get_hub()", "spawn(int)", "sleep(0.001)", "getcurrent()", "WaitQueue().park(0.001)"])
def test_a_hub_class_that_uses_the_hub_while_it_is_made_does_no_harm(act: str) -> None:
    out = output_of(
        PRELUDE
        + """
class Own(Hub):
    def __init__(self):
        try:
            eval(sys.argv[1])
        except Exception:
            pass
set_hub_class(Own)
def work():
    try:
        get_hub()
    except Exception:
        set_hub_class(Hub)
    return joined(spawn(lambda: sleep(0.001) or 1))
print(in_thread(work))
""",
        act,
    )
    assert out == "[1]\n"


def test_a_hub_class_that_uses_the_hub_while_its_run_is_looked_up_makes_one_hub() -> None:
    out = output_of(
        PRELUDE
        + """
class Own(Hub):
    @property
    def run(self):
        try:
            get_hub()
        except RuntimeError:
            print('not yet')
        return super().run
set_hub_class(Own)
print(get_hub() is get_hub(), joined(spawn(lambda: sleep(0.001) or 1)))
"""
    )
    assert out == "not yet\nTrue [1]\n"


def test_a_hub_class_that_fails_is_an_error_and_another_can_be_chosen() -> None:
    out = output_of(
        PRELUDE
        + """
class Fails(Hub):
    def __init__(self):
        raise LookupError('not now')
set_hub_class(Fails)
for act in get_hub, lambda: sleep(0), lambda: spawn(int), lambda: WaitQueue().park():
    try:
        act()
    except LookupError:
        print('LookupError')
set_hub_class(Hub)
print(joined(spawn(int)))
"""
    )
    assert out == "LookupError\n" * 4 + "[0]\n"


def test_no_descriptors_left_is_an_error_and_can_be_mended() -> None:
    out = output_of(
        PRELUDE
        + """
import resource
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
for act in get_hub, lambda: sleep(0), lambda: spawn(int):
    try:
        act()
    except OSError as fault:
        print(fault.errno)
resource.setrlimit(resource.RLIMIT_NOFILE, limit)
print(joined(spawn(int)))
"""
    )
    assert out == "24\n" * 3 + "[0]\n"


@pytest.mark.parametrize("used_before", [False, True], ids=["unused", "used before"])
@pytest.mark.parametrize("how", ["throw", "switch with a value"])
def test_somebody_who_gets_hold_of_it_explicitly_does_no_lasting_harm(used_before: bool, how: str) -> None:
    out = output_of(
        PRELUDE
        + """
hub = get_hub()
queue = WaitQueue()
early = [spawn(lambda: sleep(0.002) or 'slept'), spawn(lambda: queue.park() and 'parked'), GreenThread(int)]
if sys.argv[1] == 'True':
    hub.run_callback(int)
    sleep(0)
    sleep(0)
if sys.argv[2] == 'throw':
    try:
        hub.throw(LookupError('thrown'))
    except LookupError as fault:
        print(fault)
else:
    hub.run_callback(lambda: interrupt(raw, LookupError()))
    def switches():
        try:
            greenlet.switch(hub, 'a value')
        except LookupError:
            pass
    raw = greenlet(switches)
    spawn(raw.switch)
    sleep(0.001)
    print('thrown')
seen = []
get_hub().run_callback(lambda: seen.append(getcurrent() is get_hub()))
late = spawn(lambda: sleep(0.002) or 'late')
until(lambda: len(queue))
queue.unpark()
early[2].start()
print(joined(*early, late), queue.unpark())
sleep(0)
print(seen, get_hub().parent is main)
""",
        str(used_before),
        how,
    )
    assert out == "thrown\n['slept', 'parked', 0, 'late'] 0\n[True] True\n"


def test_an_exception_thrown_into_it_reaches_the_main_greenlet_while_it_waits() -> None:
    out = output_of(
        PRELUDE
        + """
def body():
    get_hub().throw(LookupError('for main'))
it = spawn(body)
try:
    sleep(10)
except LookupError as fault:
    print(fault)
print(joined(spawn(lambda: sleep(0.001) or 'goes on')))
"""
    )
    assert out == "for main\n['goes on']\n"


def test_its_descriptors_do_not_pass_to_other_programs() -> None:
    out = output_of(
        PRELUDE
        + """
import subprocess
sleep(0.001)
print(subprocess.run(['ls', '-l', '/proc/self/fd'], close_fds=False, capture_output=True, text=True).stdout)
"""
    )
    assert "eventpoll" not in out and "eventfd" not in out
    sleep(0)


def test_no_thread_has_a_hub_before_all_points_are_installed() -> None:
    out = output_of("""
import builtins
import threading
import time
from gossamer import _core

plain = builtins.__import__

def slowly(*args, **kwargs):
    "Installing imports: other threads run meanwhile."
    time.sleep(0.0001)
    return plain(*args, **kwargs)

builtins.__import__ = slowly
counts = []
together = threading.Barrier(4)

def work():
    together.wait()
    _core.get_hub()
    counts.append(len(_core.points()))

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(counts) == 4 and set(counts) == {len(_core.points())}, (counts, len(_core.points()))
print("all")
""")
    assert out == "all\n"
