"""Two threads import one slow module, whoever they are: it is run once, and while one waits for it, others run."""

from pathlib import Path

import pytest

from tests.support.children import output_of
from tests.support.runtime import PRELUDE

SLOW = """
import builtins
builtins.runs.append(__name__)
builtins.sleep_until_allowed()
finished = True
"""

START = {
    "green": "green = spawn({0}); finish.append(green.join)",
    "native": "threads.append(Native(target={0})); threads[-1].start(); finish.append(threads[-1].join)",
}


@pytest.mark.parametrize("patched", [False, True])
@pytest.mark.parametrize(
    ("first", "second"), [("green", "green"), ("green", "native"), ("native", "green"), ("native", "native")]
)
def test_a_slow_module_is_imported_once_and_nobody_else_waits_for_it(
    tmp_path: Path, first: str, second: str, patched: bool
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    out = output_of(
        PRELUDE
        + f"""
import builtins
from gossamer import monkey
get_hub()
{"monkey.patch_all()" if patched else ""}
Native = monkey.get_original("threading", "Thread")
sys.path.insert(0, {str(tmp_path)!r})
builtins.runs, allowed, seen, threads, finish = [], [], [], [], []

def sleep_until_allowed():
    while not allowed:
        time.sleep(0.001)

def use():
    import slow
    seen.append(slow.finished)

builtins.sleep_until_allowed = sleep_until_allowed
{START[first].format("use")}
until(lambda: builtins.runs)
{START[second].format("use")}
for _ in range(20):
    sleep(0.001)
assert seen == []
allowed.append(True)
for wait in finish:
    wait()
print(builtins.runs, seen)
"""
    )
    assert out == "['slow'] [True, True]\n"
