"""patch_all and its parts: what is switched on, in which thread, and what stays as it is."""

import pytest

from tests.support.children import output_of, run_child

OVERLAP = """
import threading, time, warnings
from gossamer import _core, monkey

def overlap():
    order = []
    def nap(name, seconds):
        time.sleep(seconds)
        order.append((name, threading.get_native_id() == threading.main_thread().native_id))
    threads = [threading.Thread(target=nap, args=args) for args in [('late', 0.2), ('early', 0.01)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return order
"""


def test_patching_everything_makes_threads_green_and_calls_that_block_let_them_run() -> None:
    assert output_of(OVERLAP + "print(monkey.patch_all(), overlap())") == "True [('early', True), ('late', True)]\n"


def test_without_patching_threads_are_native() -> None:
    assert output_of(OVERLAP + "_core.get_hub(); print(overlap())") == "[('early', False), ('late', False)]\n"


def test_threads_can_be_left_native() -> None:
    out = output_of(OVERLAP + "monkey.patch_all(thread=False); print(overlap(), monkey.is_module_patched('threading'))")
    assert out == "[('early', False), ('late', False)] False\n"


def test_one_part_can_be_patched_by_itself() -> None:
    out = output_of(OVERLAP + "monkey.patch_thread(); print(overlap(), monkey.is_module_patched('socket'))")
    assert out == "[('early', True), ('late', True)] False\n"


def test_what_is_left_out_is_switched_off_unless_it_was_patched_before() -> None:
    source = """
def groups(group):
    return {on for _, its, _, on in _core.points() if its == group}
monkey.patch_socket()
monkey.patch_all(time=False, socket=False)
print(groups('time'), groups('socket'), monkey.is_module_patched('time'), monkey.is_module_patched('socket'))
monkey.patch_all()
print(groups('time'), groups('lock'))
"""
    assert output_of(OVERLAP + source) == "{False} {True} False True\n{True} {True}\n"


def test_repeated_calls_are_harmless() -> None:
    out = output_of(
        OVERLAP + "before = [monkey.patch_all() and _core.points() for _ in range(3)]\n"
        "print(before[0] == before[1] == before[2], overlap())"
    )
    assert out == "True [('early', True), ('late', True)]\n"


def test_a_late_call_leaves_the_main_thread_what_it_is() -> None:
    source = """
import logging, queue
main, ident = threading.current_thread(), threading.get_ident()
lock, condition, items = threading.RLock(), threading.Condition(), queue.Queue()
lock.acquire()
monkey.patch_all()
print(threading.current_thread() is main is threading.main_thread(), threading.get_ident() == ident == main.ident)
got = []
def other():
    with lock:
        got.append(items.get())
        with condition:
            condition.notify()
    assert threading.current_thread() is thread
thread = threading.Thread(target=other)
thread.start()
items.put('item')
lock.release()
with condition:
    while not got:
        condition.wait()
thread.join()
print(got, threading.enumerate() == [main])
"""
    assert output_of(OVERLAP + source) == "True True\n['item'] True\n"


def test_native_threads_that_run_already_are_named_in_one_warning() -> None:
    ended = run_child("""
import threading
from gossamer import monkey
done = threading.Event()
thread = threading.Thread(target=done.wait, name='earlier')
thread.start()
monkey.patch_all()
monkey.patch_all()
monkey.patch_thread()
done.set()
thread.join()
""")
    assert ended.status == 0, ended.describe()
    assert ended.err.count("MonkeyPatchWarning") == 1
    assert "threads that run already stay native: 1 (earlier)" in ended.err
    assert "<string>:7:" in ended.err


def test_threads_of_pools_are_neither_counted_nor_warned_of() -> None:
    ended = run_child("""
import _thread
import gossamer
from gossamer import monkey
assert gossamer.get_hub().threadpool.apply(int) == 0
print(gossamer.get_hub().threadpool.size, _thread._count())
monkey.patch_all()
print(_thread._count())
""")
    assert (ended.status, ended.out, ended.err) == (0, "1 0\n0\n", ""), ended.describe()


def test_locks_queues_and_sockets_are_shared_with_native_threads_that_run_already() -> None:
    out = output_of("""
import queue, socket, threading, warnings
from gossamer import monkey
warnings.simplefilter('ignore')
to, back = queue.Queue(), queue.SimpleQueue()
left, right = socket.socketpair()
lock = threading.Lock()
def native():
    for _ in range(3):
        item = to.get()
        with lock:
            back.put(item)
        right.sendall(b'x')
thread = threading.Thread(target=native)
thread.start()
monkey.patch_all()
results = []
def green(number):
    to.put(number)
    received = left.recv(1)
    with lock:
        results.append(received)
threads = [threading.Thread(target=green, args=(number,)) for number in range(3)]
for it in threads: it.start()
for it in [*threads, thread]: it.join()
print(results, sorted(back.get() for _ in range(3)))
""")
    assert out == "[b'x', b'x', b'x'] [0, 1, 2]\n"


@pytest.mark.parametrize(
    "option",
    [
        "thread",
        "socket",
        "dns",
        "ssl",
        "time",
        "select",
        "os",
        "subprocess",
        "signal",
        "queue",
        "builtins",
        "contextvars",
        "sys",
    ],
)
def test_each_part_has_a_function_of_its_own(option: str) -> None:
    assert output_of(f"from gossamer import monkey; print(monkey.patch_{option}())") == "None\n"


SUBSCRIBED = """
from gossamer import events, monkey
seen = []
events.subscribers.append(lambda event: seen.append((type(event).__name__, getattr(event, 'module_name', ''))))
"""


def test_subscribers_are_told_what_is_patched_once() -> None:
    source = """
monkey.patch_time()
print(seen)
seen.clear()
print(monkey.patch_all(extra=42, time=True), seen[0], seen[1:3], seen[-2:], len(seen) == len(set(seen)))
print([name for kind, name in seen if kind == 'GeventDidPatchModuleEvent'].count('threading'), ('time' in dict(seen)))
seen.clear()
monkey.patch_all()
print(seen)
"""
    assert output_of(SUBSCRIBED + source) == (
        "[('GeventWillPatchModuleEvent', 'time'), ('GeventDidPatchModuleEvent', 'time')]\n"
        "True ('GeventWillPatchAllEvent', '') "
        "[('GeventWillPatchModuleEvent', 'os'), ('GeventDidPatchModuleEvent', 'os')] "
        "[('GeventDidPatchBuiltinModulesEvent', ''), ('GeventDidPatchAllEvent', '')] True\n"
        "1 False\n"
        "[]\n"
    )


def test_modules_are_patched_in_the_order_of_gevent() -> None:
    source = """
monkey.patch_all()
print(*(name for kind, name in seen if kind == 'GeventDidPatchModuleEvent'))
"""
    assert output_of(SUBSCRIBED + source) == (
        "os _thread threading time socket select selectors ssl subprocess signal queue\n"
    )


def test_a_subscriber_knows_the_arguments_and_may_forbid_all_or_a_module() -> None:
    source = """
def forbid(event):
    if isinstance(event, events.GeventWillPatchAllEvent):
        print(event.patch_all_kwargs, event.will_patch_module('sys'), event.will_patch_module('time'))
        if 'nothing' in event.patch_all_kwargs:
            raise events.DoNotPatch
    elif isinstance(event, events.GeventWillPatchModuleEvent):
        if event.module_name == 'select':
            assert event.target.select
            raise events.DoNotPatch
events.subscribers.append(forbid)
print(monkey.patch_all(nothing=True), monkey.is_module_patched('time'))
print(monkey.patch_all(), [monkey.is_module_patched(name) for name in ('time', 'select', 'selectors')])
monkey.patch_select()
print(monkey.is_module_patched('select'))
"""
    assert output_of(SUBSCRIBED + source) == (
        "{'nothing': True} False True\nFalse False\n{} False True\nTrue [True, False, False]\nFalse\n"
    )
