"""Modules that are imported after the first hub came get their points when they are, whoever imports them."""

import pytest

from gossamer import _core
from tests.support.children import output_of

MODULES = [
    "_multiprocessing",
    "_posixsubprocess",
    "_queue",
    "_socket",
    "_sqlite3",
    "_ssl",
    "fcntl",
    "select",
    "threading",
]

START = f"""
import _thread, sys
MODULES = {MODULES}
from gossamer import _core

def installed():
    return sorted(name for name, *_ in _core.points())

def show_all():
    for module in MODULES:
        __import__(module)
    print(installed())
"""


@pytest.fixture(scope="module")
def everything() -> str:
    """The names of the points when every module is there before the first hub."""
    for module in MODULES:
        pytest.importorskip(module)
    return output_of(
        START.replace("from gossamer", "[__import__(module) for module in MODULES]\nfrom gossamer")
        + "_core.get_hub(); show_all()"
    )


def test_the_first_hub_imports_next_to_nothing() -> None:
    out = output_of(START + "before = set(sys.modules); _core.get_hub(); print(sorted(set(sys.modules) - before))")
    assert out in ("['_socket', 'gc']\n", "['gc']\n", "[]\n")


def test_every_module_gets_its_points_when_it_is_imported_later(everything: str) -> None:
    assert output_of(START + "_core.get_hub(); show_all()") == everything


@pytest.mark.parametrize("module", MODULES)
def test_each_module_may_be_the_only_early_one(everything: str, module: str) -> None:
    assert output_of(START + f"import {module}; _core.get_hub(); show_all()") == everything
    assert output_of(START + f"_core.get_hub(); import {module}; show_all()") == everything


def test_a_module_that_a_native_thread_imports_gets_its_points(everything: str) -> None:
    out = output_of(
        START
        + """
_core.get_hub()
done = _thread.allocate_lock()
done.acquire()
def run():
    for module in MODULES:
        __import__(module)
    done.release()
_thread.start_new_thread(run, ())
done.acquire()
print(installed())
"""
    )
    assert out == everything


def test_a_module_that_another_one_imports_gets_its_points(everything: str) -> None:
    out = output_of(
        START
        + """
_core.get_hub()
import multiprocessing.synchronize, queue, sqlite3, ssl, subprocess
print(installed())
"""
    )
    assert out == everything


def test_all_can_be_asked_for_at_once(everything: str) -> None:
    assert output_of(START + "print(_core.points_install(True)); print(installed())") == "[]\n" + everything
    assert output_of(START + "_core.get_hub(); print(_core.points_install(True)); print(installed())") == (
        "[]\n" + everything
    )


def test_what_is_imported_later_parks() -> None:
    out = output_of(
        START
        + """
_core.get_hub()
import socket, threading
order = []
condition, (ours, theirs) = threading.Condition(), socket.socketpair()
def wait():
    with condition:
        condition.wait()
    order.append('woken')
def receive():
    order.append(ours.recv(5).decode())
threads = [_core.spawn(wait), _core.spawn(receive)]
_core.sleep(0)
theirs.sendall(b'hello')
with condition:
    condition.notify()
for thread in threads:
    thread.join()
print(sorted(order))
"""
    )
    assert out == "['hello', 'woken']\n"


def test_a_group_that_was_switched_off_before_stays_off() -> None:
    out = output_of(
        START
        + """
_core.get_hub()
_core.points_switch('ssl', False)
import ssl
print({on for name, group, _, on in _core.points() if group == 'ssl'})
_core.points_switch('ssl', True)
print({on for name, group, _, on in _core.points() if group == 'ssl'})
"""
    )
    assert out == "{False}\n{True}\n"


def test_an_original_is_found_before_its_module_is_imported() -> None:
    out = output_of(
        START
        + """
_core.get_hub()
original = _core.original('_queue', 'SimpleQueue', 'get')
import queue
print(original is _core.original('_queue', 'SimpleQueue', 'get'), queue.SimpleQueue.get is not original)
print(_core.original('_queue', 'SimpleQueue', 'qsize'), _core.original('no_such_module', None, 'f'))
"""
    )
    assert out == "True True\nNone None\n"


def test_a_private_copy_of_a_module_is_left_alone(everything: str) -> None:
    out = output_of(
        START
        + """
_core.get_hub()
import importlib.util
spec = importlib.util.find_spec('select')
copy = importlib.util.module_from_spec(spec)
sys.modules.pop('select', None)
before = installed()
spec.loader.exec_module(copy)
assert installed() == before
show_all()
"""
    )
    assert out == everything


def test_classes_of_the_same_name_elsewhere_mean_nothing() -> None:
    out = output_of(
        START
        + """
_core.get_hub()
class Condition:
    def wait(self):
        return 'own'
Condition.__module__ = 'threading'
print(Condition().wait(), [name for name in installed() if name.startswith('threading.')])
"""
    )
    assert out == "own []\n"


def test_classes_are_made_as_ever() -> None:
    _core.get_hub()

    class Meta(type):
        def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, object], word: str) -> "Meta":
            made = super().__new__(cls, name, bases, space)
            made.word = word
            return made

        def __init__(cls, name: str, bases: tuple[type, ...], space: dict[str, object], word: str) -> None:
            super().__init__(name, bases, space)

        word: str

    class Made(dict[str, int], metaclass=Meta, word="said"):
        def __len__(self) -> int:
            return super().__len__() + 1

    assert (len(Made()), Made.word) == (1, "said")
    with pytest.raises(TypeError, match="word"):

        class Fails(metaclass=Meta):
            pass
