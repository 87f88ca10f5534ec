"""get_original, is_..._patched, patch_item, patch_module."""

from tests.support.children import output_of

PATCHED = """
import queue, socket, threading, time
from gossamer import _core, monkey
monkey.patch_all()
"""


def test_the_original_of_a_blocking_call_blocks_the_os_thread() -> None:
    out = output_of(
        PATCHED
        + """
order = []
other = _core.spawn(lambda: order.append('other'))
monkey.get_original('time', 'sleep')(0.01)
order.append('main')
time.sleep(0)
print(order)
"""
    )
    assert out == "['main', 'other']\n"


def test_the_original_of_starting_a_thread_starts_a_native_one_that_blocks_natively() -> None:
    out = output_of(
        PATCHED
        + """
start, ident = monkey.get_original(('thread', '_thread'), ['start_new_thread', 'get_ident'])
items = monkey.get_original('queue', 'SimpleQueue')()
def native():
    time.sleep(0.01)
    items.put((threading.get_native_id() != main, ident() == threading.get_ident(), _core.thread_has_hub()))
main = threading.get_native_id()
start(native, ())
print(items.get())
"""
    )
    assert out == "(True, True, False)\n"


def test_the_original_thread_class_starts_native_threads_that_can_be_joined() -> None:
    out = output_of(
        PATCHED
        + """
Thread = monkey.get_original('threading', 'Thread')
seen = []
def native():
    time.sleep(0.05)
    seen.append((threading.current_thread() is thread, threading.get_native_id() != main))
main = threading.get_native_id()
thread = Thread(target=native, name='mine', daemon=False)
thread.start()
ticks = []
ticking = threading.Thread(target=lambda: [ticks.append(time.sleep(0.001)) for _ in range(10)])
ticking.start()
print(thread.is_alive(), isinstance(thread, threading.Thread), thread in threading.enumerate())
thread.join()
ticking.join()
print(seen, len(ticks), thread.is_alive(), threading.enumerate() == [threading.main_thread()])
try:
    thread.start()
except RuntimeError as error:
    print(error)
"""
    )
    assert out == "True True True\n[(True, True)] 10 False True\nthreads can only be started once\n"


def test_a_native_thread_is_waited_for_at_exit() -> None:
    out = output_of(
        PATCHED
        + """
def native():
    time.sleep(0.1)
    print('native done')
monkey.get_original('threading', 'Thread')(target=native).start()
print('main done')
"""
    )
    assert out == "main done\nnative done\n"


def test_classes_are_their_own_originals() -> None:
    out = output_of(
        PATCHED
        + """
pairs = [('socket', 'socket'), ('threading', 'Lock'), ('threading', 'RLock'), ('queue', 'SimpleQueue')]
import importlib
print([monkey.get_original(m, n) is getattr(importlib.import_module(m), n) for m, n in pairs])
"""
    )
    assert out == "[True, True, True, True]\n"


def test_originals_are_there_before_anything_is_patched() -> None:
    out = output_of("""
from gossamer import _core, monkey
sleep = monkey.get_original('time', 'sleep')
print(_core.thread_has_hub(), monkey.is_module_patched('time'), monkey.is_object_patched('time', 'sleep'))
monkey.patch_time()
order = []
_core.spawn(lambda: order.append('other'))
sleep(0.01)
order.append('main')
import time
time.sleep(0)
print(order, monkey.is_module_patched('time'), monkey.is_object_patched('time', 'sleep'))
print(monkey.is_object_patched('time', 'no_such_name'), monkey.is_module_patched('json'))
""")
    assert out == "False False False\n['main', 'other'] True True\nFalse False\n"


def test_what_does_not_exist_is_an_error_that_names_it() -> None:
    out = output_of("""
from gossamer import monkey
for names in [('no_such_module', 'x'), ('time', 'no_such_name'), (['a_b', 'c_d'], 'x')]:
    try:
        monkey.get_original(*names)
    except (ImportError, AttributeError) as error:
        print(type(error).__name__, error)
""")
    assert out == (
        "ModuleNotFoundError No module named 'no_such_module'\n"
        "AttributeError module 'time' has no attribute 'no_such_name'\n"
        "ModuleNotFoundError No module named 'c_d'\n"
    )


def test_a_plugin_may_replace_names_and_find_what_they_were() -> None:
    out = output_of("""
import types
from gossamer import monkey
target, source = types.ModuleType('target'), types.ModuleType('source')
target.a = 'before'
source.a, source.b, source.__implements__ = 'after', 'new', ['a', 'b']
import sys
sys.modules['target'] = target
print(monkey.patch_module(target, source), target.a, target.b)
print(monkey.get_original('target', ['a', 'b']), monkey.is_object_patched('target', 'a'), monkey.saved['target'])
monkey.patch_item(target, 'a', 'again')
print(target.a, monkey.get_original('target', 'a'))
""")
    assert out == "True after new\n['before', 'new'] True {'a': 'before'}\nagain before\n"


def test_every_thread_is_an_instance_of_the_original_thread_class() -> None:
    out = output_of(
        PATCHED
        + """
Thread = monkey.get_original('threading', 'Thread')
class Mine(Thread): pass
green, native = threading.Thread(), Thread()
print(isinstance(threading.main_thread(), Thread), isinstance(green, Thread), isinstance(native, Thread))
print(isinstance(native, Mine), isinstance(green, Mine), isinstance(Mine(), Mine), isinstance(1, Thread))
"""
    )
    assert out == "True True True\nFalse False True False\n"


def test_saved_tells_what_has_been_patched() -> None:
    out = output_of(
        """
import threading, time
from gossamer import monkey
print(monkey.saved)
monkey.patch_all(os=False)
print(list(monkey.saved['time']), monkey.saved['time']['sleep'] is monkey.get_original('time', 'sleep'))
print('os' in monkey.saved, 'Thread' in monkey.saved['threading'], 'start_new_thread' in monkey.saved['_thread'])
"""
    )
    assert out == "{}\n['sleep'] True\nFalse True True\n"


def test_that_anything_is_patched_is_known() -> None:
    out = output_of(
        "from gossamer import monkey\nprint(monkey.is_anything_patched())\nmonkey.patch_time()\n"
        "print(monkey.is_anything_patched())"
    )
    assert out == "False\nTrue\n"
