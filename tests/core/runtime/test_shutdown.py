"""The end of the interpreter, with green threads in every state.

Each case is a child interpreter: it must reach its last line and end with the status it should, with the ordinary
allocators and with the debugging ones. Whether `finally` blocks still run while the interpreter goes down is left open.
"""

import pytest

from tests.support.children import output_of, run_child
from tests.support.runtime import PRELUDE

LEAVES = {
    "not begun": "spawn(int)",
    "ready": "crowd = [spawn(lambda: turns(10**9)) for _ in range(20)]; turns()",
    "parked in a queue": "queue = WaitQueue(); crowd = [spawn(queue.park) for _ in range(20)]; turns()",
    "asleep": "crowd = [spawn(sleep, 3600) for _ in range(20)]; turns()",
    "waiting for descriptors": "p = os.pipe(); crowd = [spawn(wait_read, p[0]) for _ in range(20)]; turns()",
    "joining each other": "c = [spawn(lambda: c[1].join()), spawn(lambda: c[0].join())]; turns()",
    "in hub.switch": "crowd = [spawn(get_hub().switch) for _ in range(20)]; turns()",
    "interrupted": "it = spawn(sleep, 9); turns(); interrupt(it, LookupError())",
    "unparked": "queue = WaitQueue(); crowd = [spawn(queue.park) for _ in range(20)]; turns(); queue.unpark(9)",
    "callbacks": "get_hub().run_callback(print, 'x'); get_hub().call_later(0, print, 'x'); "
    "kept = get_hub().call_later(3600, print)",
    "a callback in a cycle": "kept = []; kept.append(get_hub().call_later(3600, kept.append, kept))",
    "a reference to the hub": "sys.kept_hub = get_hub(); get_hub().cycle = get_hub(); sleep(0)",
    "a tracer": "settrace(lambda *_: None); it = spawn(sleep, 3600); turns()",
    "a finally block that waits": """
def body():
    try:
        sleep(3600)
    finally:
        sleep(0.001)
        spawn(int).join()
it = spawn(body)
turns()
""",
    "a finished one that holds a parked one": "it = spawn(lambda: spawn(sleep, 3600)); turns()",
    "a failed one": "it = spawn(lambda: 1 / 0)\nwith reported(): turns()",
    "a raw greenlet that waits": "raw = greenlet(lambda: sleep(3600)); spawn(raw.switch); turns()",
    "a thread that waits in its hub": """
def work():
    crowd = [spawn(sleep, 3600) for _ in range(5)]
    crowd[0].join()
threading.Thread(target=work, daemon=True).start()
sleep(0.02)
""",
    "a thread whose hub is busy": """
def work():
    crowd = [spawn(turns, 10**9) for _ in range(5)]
    crowd[0].join()
threading.Thread(target=work, daemon=True).start()
sleep(0.02)
""",
    "threads that unpark": """
queue = WaitQueue()
crowd = [spawn(lambda: [queue.park() for _ in range(10**9)]) for _ in range(5)]
def work():
    while True:
        queue.unpark()
for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
sleep(0.02)
""",
    "work registered for the exit": """
import atexit
it = spawn(sleep, 3600)
atexit.register(lambda: (spawn(int).join(), sleep(0.001), interrupt(it, GreenletExit()), it.join()))
""",
}


@pytest.mark.parametrize("allocators", ["", "debug"], ids=["plain", "debugging allocators"])
@pytest.mark.parametrize("what", LEAVES)
def test_the_interpreter_ends_whatever_is_left(what: str, allocators: str) -> None:
    out = output_of(
        PRELUDE + LEAVES[what] + "\nprint('last line')\n",
        environment={"PYTHONMALLOC": allocators} if allocators else {},
    )
    assert out.splitlines()[-1] == "last line"


@pytest.mark.parametrize(
    ("act", "status"),
    [("sys.exit(3)", 3), ("raise LookupError", 1), ("os._exit(4)", 4), ("WaitQueue().park()", 1)],
    ids=["exit", "an error", "_exit", "LoopExit"],
)
@pytest.mark.parametrize("what", ["ready", "parked in a queue", "callbacks", "waiting for descriptors", "asleep"])
def test_the_status_is_the_programs_own(act: str, status: int, what: str) -> None:
    if act.startswith("WaitQueue") and what in {"ready", "waiting for descriptors", "asleep", "callbacks"}:
        act = "raise LookupError"
    ended = run_child(PRELUDE + LEAVES[what] + "\n" + act)
    assert ended.status == status, ended.describe()
    assert "Fatal" not in ended.err and "Segmentation" not in ended.err


def test_what_is_used_after_the_end_has_begun_is_an_error_not_a_crash() -> None:
    ended = run_child(
        PRELUDE
        + """
class Late:
    def __init__(self, *tools):
        self.tools = tools
    def __del__(self):
        sleep, spawn, get_hub, queue = self.tools
        for act in (lambda: sleep(0), lambda: sleep(0.001), lambda: spawn(int).join(0.001), get_hub,
                    lambda: queue.park(0.001), lambda: get_hub().run_callback(int)):
            try:
                act()
            except Exception:
                pass
sys.late = Late(sleep, spawn, get_hub, WaitQueue())
it = spawn(sleep, 3600)
sleep(0)
sys.modules['late'] = Late(sleep, spawn, get_hub, WaitQueue())
print('last line')
"""
    )
    assert ended.status == 0 and ended.out == "last line\n", ended.describe()


def test_an_exit_inside_a_callback_and_inside_a_green_thread_is_clean() -> None:
    for act in ("get_hub().run_callback(os._exit, 6)", "spawn(os._exit, 6)"):
        ended = run_child(PRELUDE + act + "\nsleep(10)\n")
        assert ended.status == 6, ended.describe()
