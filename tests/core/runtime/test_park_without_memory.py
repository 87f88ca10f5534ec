"""No memory: a wait that nothing else can end ends with MemoryError, nobody who was made ready is lost, and everybody
goes on once there is some."""

from tests.support.children import output_of
from tests.support.memory import EXHAUSTION, limits_address_space


@limits_address_space
def test_a_wait_ends_with_memory_error_when_nobody_else_can_run() -> None:
    printed = output_of(
        EXHAUSTION
        + """
import gossamer
COUNT = 100
ended = []
def body(n):
    nested(n % 3, lambda: gossamer.sleep(0.01))
    ended.append(n)
jobs = [gossamer.spawn(body, n) for n in range(COUNT)]
gossamer.sleep(0)
assert counts()["copied_out"] > 0
taken = exhaust()
for _ in range(200):
    try:
        gossamer.sleep(0.001)
    except MemoryError:
        pass
release(taken)
gossamer.joinall(jobs)
print(sorted(ended) == sorted(n for n, job in enumerate(jobs) if job.successful()), all(job.ready() for job in jobs))
""",
        environment={"GOSSAMER_STACKS": "1"},
    )
    assert printed.splitlines() == ["True True"]


# More wait than the hub can note as ready without asking for memory.
MANY = """
import gossamer, threading
from gossamer._core import WaitQueue
COUNT = 1000
queue = WaitQueue()
ended = []
def body(n):
    queue.park()
    ended.append(n)
jobs = []
while len(jobs) < COUNT:
    jobs += [gossamer.spawn(body, len(jobs) + n) for n in range(20)]
    gossamer.sleep(0)
"""


@limits_address_space
def test_whoever_is_unparked_without_memory_goes_on() -> None:
    printed = output_of(
        EXHAUSTION
        + MANY
        + """
taken = exhaust()
count = queue.unpark(COUNT)
try:
    gossamer.sleep(0)
except MemoryError:
    pass
release(taken)
gossamer.joinall(jobs)
print(count, sorted(ended) == list(range(COUNT)))
"""
    )
    assert printed == "1000 True\n"


@limits_address_space
def test_whoever_another_thread_unparks_without_memory_goes_on() -> None:
    printed = output_of(
        EXHAUSTION
        + MANY
        + """
import time
begin, done = threading.Event(), []
def unpark():
    begin.wait()
    done.append(queue.unpark(COUNT))
thread = threading.Thread(target=unpark)
thread.start()
taken = exhaust()
begin.set()
deadline = time.monotonic() + 20
while not done and time.monotonic() < deadline:
    try:
        gossamer.sleep(0.001)
    except MemoryError:
        pass
release(taken)
gossamer.joinall(jobs)
thread.join()
print(done, sorted(ended) == list(range(COUNT)))
"""
    )
    assert printed == "[1000] True\n"


@limits_address_space
def test_whoever_goes_on_by_an_explicit_switch_meanwhile_is_not_woken_again() -> None:
    printed = output_of(
        EXHAUSTION
        + MANY
        + """
from gossamer._core import InvalidSwitchError
refused = []
def stubborn(n):
    try:
        queue.park()
    except InvalidSwitchError:
        refused.append(n)
        main.switch()
stubborn_ones = []
while len(stubborn_ones) < 60:
    stubborn_ones += [gossamer.spawn(stubborn, n) for n in range(20)]
    gossamer.sleep(0)
taken = exhaust()
queue.unpark(COUNT + 60)
release(taken)
for it in stubborn_ones:
    it.switch("by hand")
for it in stubborn_ones:
    gossamer.get_hub().run_callback(it.switch)
gossamer.joinall(jobs + stubborn_ones)
print(len(refused), len(ended), all(job.successful() for job in jobs + stubborn_ones))
"""
    )
    assert printed == "60 1000 True\n"


@limits_address_space
def test_what_has_not_begun_is_refused_without_memory() -> None:
    printed = output_of(
        EXHAUSTION
        + MANY
        + """
hub = gossamer.get_hub()
fresh = [gossamer.Greenlet(ended.append, "fresh") for _ in range(10)]
called = []
taken = exhaust()
queue.unpark(COUNT)
refused = 0
for it in fresh:
    try:
        it.start()
    except MemoryError:
        refused += 1
try:
    hub.run_callback(called.append, 1)
except MemoryError:
    refused += 1
release(taken)
gossamer.joinall(jobs)
for it in fresh:
    it.start()
gossamer.joinall(fresh)
print(refused, called, ended.count("fresh"))
"""
    )
    assert printed == "11 [] 10\n"
