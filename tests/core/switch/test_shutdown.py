"""The end of the interpreter, with greenlets in every state and in every kind of thread.

Each case is a child interpreter: it must reach its last line, end with the status it should, and not crash, hang or
abort on the way out, with the ordinary allocators and with the debugging ones. Whether the `finally` blocks of a
greenlet still run while the interpreter goes down is left open.
"""

import signal

import pytest

from tests.support.children import output_of, run_child

ALLOCATORS = [pytest.param("", id="plain"), pytest.param("debug", id="debugging-allocators")]
with_each_allocator = pytest.mark.parametrize("allocators", ALLOCATORS)

PRELUDE = """
import atexit, gc, os, sys, threading, time
from gossamer.switching import GreenletExit, error, getcurrent, greenlet, gettrace, settrace
from tests.support.greenlets import below, below_c, ended, parked, to_parent
main = getcurrent()
"""

LEAVES_BEHIND = {
    "an unstarted greenlet": "it = greenlet(int)",
    "a dead greenlet": "it = ended()",
    "a parked greenlet": "it = parked()",
    "hundreds of parked greenlets": "crowd = [parked(lambda: below(3, to_parent)) for _ in range(800)]",
    "greenlets parked under C calls": "crowd = [parked(lambda: below_c(10, to_parent)) for _ in range(50)]",
    "a chain of parents": """
def level(left):
    if left:
        greenlet(level).switch(left - 1)
    main.switch()
top = greenlet(level)
top.switch(20)
""",
    "a greenlet parked in a generator": """
def produce():
    try:
        to_parent()
        yield
    finally:
        to_parent
it = parked(lambda: list(produce()))
""",
    "a greenlet that is handling an exception": """
def body():
    try:
        raise LookupError
    except LookupError:
        to_parent()
it = parked(body)
""",
    "a greenlet with finally blocks that use modules": """
def body():
    try:
        to_parent()
    finally:
        os.getpid(), time.time(), sys.version
it = parked(body)
""",
    "a greenlet whose finally block switches": """
def body():
    try:
        to_parent()
    finally:
        greenlet(int).switch()
        main.switch()
it = parked(body)
""",
    "a greenlet that refuses to die": """
def body():
    while True:
        try:
            main.switch()
        except BaseException:
            pass
it = parked(body)
""",
    "a greenlet that raises when it is ended": """
def body():
    try:
        to_parent()
    finally:
        raise LookupError
it = parked(body)
""",
    "a cycle through a parked frame": """
def body():
    me = getcurrent()
    to_parent(me)
parked(body)
""",
    "a greenlet in a class attribute and in a module": """
class Holder: it = parked()
sys.modules['holder'] = parked()
sys.it = parked()
""",
    "a greenlet of an ended thread": """
kept = []
def work():
    kept.append(getcurrent())
    kept.append(parked())
    kept.append(greenlet(int))
thread = threading.Thread(target=work)
thread.start()
thread.join()
""",
    "a daemon thread with parked greenlets": """
ready = threading.Event()
def work():
    kept = [parked(lambda: below_c(3, to_parent)) for _ in range(20)]
    ready.set()
    time.sleep(1000)
threading.Thread(target=work, daemon=True).start()
ready.wait()
""",
    "a daemon thread that blocks inside a greenlet": """
ready = threading.Event()
def body():
    kept = parked()
    ready.set()
    time.sleep(1000)
threading.Thread(target=lambda: greenlet(body).switch(), daemon=True).start()
ready.wait()
""",
    "daemon threads that switch without end": """
ready = threading.Barrier(4)
def body():
    while True:
        to_parent()
def work():
    it = parked(body)
    ready.wait()
    while True:
        it.switch()
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
ready.wait()
""",
    "a daemon thread waiting for a lock inside a greenlet": """
lock = threading.Lock()
lock.acquire()
ready = threading.Event()
def body():
    ready.set()
    lock.acquire()
threading.Thread(target=lambda: greenlet(body).switch(), daemon=True).start()
ready.wait()
""",
    "a thread that is still working": """
def work():
    it = parked(lambda: to_parent() + 1)
    time.sleep(0.05)
    assert it.switch(41) == 42
threading.Thread(target=work).start()
""",
    "a trace function": """
settrace(lambda *event: None)
it = parked()
""",
    "a greenlet dropped for a thread that never looks": """
ready, over = threading.Event(), threading.Event()
holder = []
def work():
    holder.append(parked())
    ready.set()
    over.wait()
threading.Thread(target=work, daemon=True).start()
ready.wait()
holder.clear()
""",
    "an exit handler that switches": """
it = parked(lambda: [to_parent(number) for number in range(10)])
def at_exit():
    assert it.switch() == 1
    assert greenlet(lambda: 42).switch() == 42
    assert getcurrent() is main
    assert gettrace() is None and settrace(None) is None
    print('exit handler done')
atexit.register(at_exit)
""",
    "an exit handler that leaves greenlets parked": """
kept = []
atexit.register(lambda: kept.extend(parked() for _ in range(10)))
""",
    "an exit handler registered inside a greenlet": """
greenlet(lambda: atexit.register(lambda: ended())).switch()
""",
    "a finalizer that looks for the current greenlet": """
class Ends:
    def __init__(self):
        self.me = self
        self.names = getcurrent, greenlet, error
    def __del__(self):
        getcurrent, greenlet, error = self.names
        try:
            getcurrent()
            greenlet(int).switch()
        except (RuntimeError, error, TypeError):
            pass
gc.disable()
Ends()
kept = Ends()
sys.kept = Ends()
""",
    "a finalizer that switches to a parked greenlet": """
class Ends:
    def __init__(self):
        self.me = self
        self.it = parked(lambda: [to_parent() for _ in range(5)])
    def __del__(self):
        try:
            self.it.switch()
        except (RuntimeError, error):
            pass
gc.disable()
Ends()
sys.kept = Ends()
""",
    "a greenlet parked inside a finalizer": """
class Ends:
    def __del__(self):
        main.switch()
def body():
    Ends()
it = parked(body)
""",
    "a greenlet parked inside an import": """
import importlib.abc, importlib.util
class Loader(importlib.abc.Loader):
    def exec_module(self, module):
        main.switch()
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        return importlib.util.spec_from_loader(name, Loader()) if name == 'slow_module' else None
sys.meta_path.insert(0, Finder())
def body():
    import slow_module
it = parked(body)
""",
}


@with_each_allocator
@pytest.mark.parametrize("leaves", LEAVES_BEHIND, ids=lambda name: name.replace(" ", "-"))
def test_the_interpreter_ends_cleanly_with(leaves: str, allocators: str) -> None:
    out = output_of(
        PRELUDE + LEAVES_BEHIND[leaves] + "\nprint('reached the end', flush=True)\n",
        environment={"PYTHONMALLOC": allocators} if allocators else None,
    )
    assert out.startswith("reached the end\n")
    assert ("exit handler done" in out) == ("an exit handler that switches" == leaves)


@pytest.mark.parametrize(
    ("statement", "status"),
    [("sys.exit(3)", 3), ("raise SystemExit(4)", 4), ("sys.exit()", 0), ("sys.exit('words')", 1), ("os._exit(7)", 7)],
)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_leaving_from_inside_nested_greenlets_gives_its_status(statement: str, status: int, depth: int) -> None:
    ended = run_child(
        PRELUDE
        + f"""
kept = [parked(lambda: below_c(2, to_parent)) for _ in range(10)]
def body(left):
    if left:
        greenlet(body).switch(left - 1)
    {statement}
greenlet(body).switch({depth})
print('never reached')
"""
    )
    assert ended.status == status, ended.describe()
    assert ended.out == ""


def test_an_error_that_leaves_a_greenlet_ends_the_program_with_its_traceback() -> None:
    ended = run_child(
        PRELUDE
        + """
kept = parked()
def fails():
    raise LookupError('uncaught')
def starts():
    greenlet(fails).switch()
starts()
"""
    )
    assert ended.status == 1, ended.describe()
    assert ended.err.count("Traceback") == 1
    assert "in starts" in ended.err and "in fails" in ended.err
    assert ended.err.rstrip().endswith("LookupError: uncaught")


def test_an_interrupt_that_leaves_a_greenlet_ends_the_program_as_an_interrupt() -> None:
    ended = run_child(
        PRELUDE
        + """
import signal
greenlet(lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(1000))).switch()
"""
    )
    assert ended.status == -signal.SIGINT, ended.describe()
    assert "KeyboardInterrupt" in ended.err


@with_each_allocator
def test_a_thread_that_ends_with_parked_greenlets_just_before_the_exit_is_cleaned_up(allocators: str) -> None:
    out = output_of(
        PRELUDE
        + """
def body():
    try:
        to_parent()
    finally:
        os.write(1, b'finally\\n')
def work():
    kept = parked(body)
threading.Thread(target=work).start()
""",
        environment={"PYTHONMALLOC": allocators} if allocators else None,
    )
    assert out == "finally\n"


def test_output_written_by_greenlets_is_flushed_at_the_exit() -> None:
    out = output_of(
        PRELUDE
        + """
crowd = [parked(lambda: print('first') or to_parent() or print('second')) for _ in range(3)]
crowd[0].switch()
"""
    )
    assert out == "first\n" * 3 + "second\n"


@pytest.mark.parametrize("ready", ["atexit.register(late)", "sys.late = type('Late', (), {'__del__': late})()"])
def test_using_greenlets_after_their_module_was_shut_down_does_not_crash(ready: str) -> None:
    out = output_of(
        f"""
import atexit, os, sys
def late(*_, write=os.write, modules=sys.modules):
    switching = modules.get('gossamer.switching')
    try:
        it = switching.greenlet(int)
        switching.getcurrent()
        it.switch()
        write(1, b'still works\\n')
    except Exception:
        write(1, b'refused\\n')
{ready}
from gossamer.switching import getcurrent, greenlet
main = getcurrent()
it = greenlet(main.switch)
it.switch()
"""
    )
    assert out in {"still works\n", "refused\n"}


def test_the_module_can_be_unloaded_and_imported_again() -> None:
    out = output_of(
        """
import gc, sys
def use():
    from gossamer.switching import greenlet, getcurrent
    main = getcurrent()
    it = greenlet(lambda: main.switch(41) + 1)
    assert it.switch() == 41
    assert it.switch(41) == 42
    return greenlet
first = use()
for name in [name for name in sys.modules if name.startswith(('gossamer', 'greenlet'))]:
    del sys.modules[name]
gc.collect()
use()
use()
print('used twice')
"""
    )
    assert out == "used twice\n"
