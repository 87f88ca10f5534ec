"""The locks of modules that are imported: whatever strikes in the middle of an import, they are let go."""

import pytest

from tests.support.children import output_of

# `lock.lock` is what importlib holds for a moment around its bookkeeping; here somebody holds it until told otherwise.
HELD = """
import importlib._bootstrap, threading
import gossamer, gossamer.event
from gossamer import sleep, spawn
from tests.support.scale import patience

lock = importlib._bootstrap._ModuleLock("module")
let_go = gossamer.event.Event()
said = []

def hold():
    with lock.lock:
        let_go.wait()

def release(body):
    lock.acquire()
    holder = spawn(hold)
    sleep(0)
    try:
        body()
    finally:
        holder.join(timeout=patience(30))

def is_free():
    "Whether another thread gets the module's lock."
    taken = []
    thread = threading.Thread(target=lambda: taken.append(lock.acquire()), daemon=True)
    thread.start()
    thread.join(patience(5))
    return taken == [True]
"""


@pytest.mark.parametrize("strikes", [1, 3])
def test_a_kill_in_the_release_of_a_module_is_raised_once_it_is_released(strikes: int) -> None:
    child = f"""
def body():
    try:
        lock.release()
    except KeyError as error:
        said.append(error.args[0])
    for _ in range({strikes - 1}):
        try:
            sleep(patience(30))
        except KeyError as error:
            said.append(error.args[0])

victim = spawn(release, body)
sleep(0.01)
for number in range({strikes}):
    gossamer._core.throw_into(victim, KeyError(number))
    sleep(0.01)
let_go.set()
victim.join(timeout=patience(30))
print(victim.ready(), said == list(range({strikes})), is_free())
"""
    assert output_of(HELD + child) == "True True True\n"


def test_a_kill_from_another_thread_is_put_off_too() -> None:
    child = """
victim = spawn(release, lock.release)
sleep(0.01)
killer = threading.Thread(target=lambda: victim.kill(block=False))
killer.start()
while killer.is_alive():
    sleep(0.001)
sleep(0.01)
let_go.set()
victim.join(timeout=patience(30))
print(repr(victim.value), is_free())
"""
    assert output_of(HELD + child) == "GreenletExit() True\n"


@pytest.mark.parametrize("exception", ["None", "KeyError('late')"])
def test_a_timeout_in_the_release_of_a_module_is_raised_within_its_block(exception: str) -> None:
    child = f"""
def body():
    spawn(lambda: (sleep(0.1), let_go.set()))
    timeout = gossamer.Timeout(0.01, {exception})
    try:
        with timeout:
            lock.release()
            said.append("not raised")
    except (gossamer.Timeout, KeyError) as error:
        said.append(error is timeout or repr(error))
    sleep(0.01)

victim = spawn(release, body)
victim.join(timeout=patience(30))
print(victim.ready(), said, is_free())
"""
    expected = "True" if exception == "None" else "\"KeyError('late')\""
    assert output_of(HELD + child) == f"True [{expected}] True\n"


def test_a_kill_in_the_acquisition_of_a_module_is_raised_at_once() -> None:
    child = """
owner = spawn(lambda: (lock.acquire(), let_go.wait(), lock.release()))
sleep(0)
victim = spawn(lock.acquire)
sleep(0.01)
victim.kill(timeout=patience(30))
let_go.set()
owner.join(timeout=patience(30))
print(repr(victim.value), owner.ready(), is_free())
"""
    assert output_of(HELD + child) == "GreenletExit() True True\n"


def test_green_threads_of_several_hubs_import_while_they_are_killed() -> None:
    child = """
import pathlib, random, sys, tempfile, time

folder = tempfile.TemporaryDirectory()
sys.path.insert(0, folder.name)
names = [f"imported_{number}" for number in range(20)]
for name in names:
    (pathlib.Path(folder.name) / f"{name}.py").write_text("import time\\nfor _ in range(5):\\n    time.sleep(0)\\n")
over = time.monotonic() + 3

def work():
    while time.monotonic() < over:
        name = random.choice(names)
        __import__(name)
        sys.modules.pop(name, None)
        sleep(0)

def hub():
    while time.monotonic() < over:
        victims = [spawn(work) for _ in range(5)]
        sleep(random.random() / 200)
        for victim in victims:
            victim.kill(block=False)
        gossamer.joinall(victims, timeout=patience(30))
        said.append(all(victim.ready() for victim in victims))

threads = [threading.Thread(target=hub, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(patience(60))
print(all(said), any(thread.is_alive() for thread in threads))
"""
    assert output_of(HELD + child, seconds=120) == "True False\n"
