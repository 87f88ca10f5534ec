"""No memory to switch to any green thread: the wait ends with MemoryError, and everybody goes on once there is some."""

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
