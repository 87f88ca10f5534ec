"""Sub-interpreters: the import is refused there with a clear ImportError, and the main interpreter goes on."""

import pytest

from tests.support.children import output_of

PRELUDE = """
import sys
from gossamer.switching import getcurrent, greenlet
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

def run_elsewhere(source):
    "Run `source` in a new interpreter and destroy that."
    interpreter = interpreters.create()
    interpreters.run_string(interpreter, source)
    interpreters.destroy(interpreter)

ATTEMPT = '''
import sys
try:
    import gossamer.switching
except ImportError as refusal:
    print('refused:', refusal, flush=True)
else:
    print('imported', flush=True)
'''
"""


@pytest.mark.beyond_greenlet
def test_importing_in_a_subinterpreter_is_refused_with_the_reason() -> None:
    out = output_of(PRELUDE + "run_elsewhere(ATTEMPT)\nrun_elsewhere(ATTEMPT)\n")
    assert out.count("refused:") == 2 and "imported" not in out
    assert "interpreter" in out


@pytest.mark.beyond_greenlet
def test_the_main_interpreter_goes_on_after_a_refusal() -> None:
    out = output_of(
        PRELUDE
        + """
main = getcurrent()
it = greenlet(lambda: [main.switch(number) for number in range(3)])
assert it.switch() == 0
run_elsewhere(ATTEMPT)
assert it.switch() == 1
greenlet(lambda: run_elsewhere(ATTEMPT)).switch()
assert it.switch() == 2
print('went on')
"""
    )
    assert out.endswith("went on\n")
    assert "imported" not in out


def test_a_subinterpreter_that_runs_inside_a_greenlet_comes_to_its_end() -> None:
    out = output_of(
        PRELUDE
        + """
kept = greenlet(getcurrent().switch)
kept.switch()
greenlet(lambda: run_elsewhere('print(sum(range(10)), flush=True)')).switch()
kept.switch()
print('went on')
"""
    )
    assert out == "45\nwent on\n"


@pytest.mark.beyond_greenlet
def test_interpreters_with_locks_of_their_own_may_call_deeply_at_the_same_time() -> None:
    # each call of `inner` needs a new chunk of the interpreter's data stack
    out = output_of(
        PRELUDE
        + """
import threading
BUSY = '''
names = " = ".join(f"x{number}" for number in range(1100))
space = {}
exec(f"def inner():\\\\n    {names} = 1\\\\n    return x7\\\\n"
     f"def outer():\\\\n    {names} = 1\\\\n    for _ in range(80000): inner()", space)
space["outer"]()
'''
threads = [threading.Thread(target=run_elsewhere, args=(BUSY,)) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
greenlet(run_elsewhere).switch(BUSY)
print('went on')
"""
    )
    assert out == "went on\n"
