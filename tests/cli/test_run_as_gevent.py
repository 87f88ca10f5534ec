"""`gossamer run --as-gevent`: programs written for greenlet, unchanged, and their child processes."""

from pathlib import Path

import pytest

from tests.cli.launching import with_gossamer
from tests.compat.hook import needs_hook

CLASSIC = """\
from greenlet import greenlet

def test1(x, y):
    z = gr2.switch(x+y)
    print(z)

def test2(u):
    print(u)
    gr1.switch(42)

gr1 = greenlet(test1)
gr2 = greenlet(test2)
gr1.switch("hello", " world")
"""


@pytest.mark.parametrize("way", [["classic.py"], ["-m", "classic"]], ids=" ".join)
def test_the_classic_program_of_greenlet_runs_unchanged(
    folder: Path, way: list[str], gossamer: tuple[str, ...]
) -> None:
    (folder / "classic.py").write_text(CLASSIC)
    ended = with_gossamer("--as-gevent", *way, launcher=gossamer)
    assert (ended.status, ended.out, ended.err) == (0, "hello world\n42\n", ""), ended.describe()


@needs_hook
def test_the_classic_program_runs_in_a_child_process_of_a_program(folder: Path, gossamer: tuple[str, ...]) -> None:
    (folder / "classic.py").write_text(CLASSIC)
    (folder / "parent.py").write_text(
        "import subprocess, sys\nsys.exit(subprocess.run([sys.executable, 'classic.py']).returncode)\n"
    )
    ended = with_gossamer("--as-gevent", "parent.py", launcher=gossamer)
    assert (ended.status, ended.out, ended.err) == (0, "hello world\n42\n", ""), ended.describe()


@needs_hook
def test_a_program_can_keep_the_alias_from_a_child_process(folder: Path) -> None:
    (folder / "child.py").write_text("import gossamer.compat; print(gossamer.compat.installed())\n")
    (folder / "parent.py").write_text("""
import os, subprocess, sys

environment = {name: value for name, value in os.environ.items() if name != "GOSSAMER_COMPAT"}
subprocess.run([sys.executable, "child.py"])
subprocess.run([sys.executable, "child.py"], env=environment)
""")
    ended = with_gossamer("--as-gevent", "parent.py")
    assert (ended.status, ended.out) == (0, "('greenlet', 'gevent')\n()\n"), ended.describe()


@needs_hook
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_program_that_imports_greenlet_at_its_top_works_with_multiprocessing(folder: Path, method: str) -> None:
    (folder / "program.py").write_text(f"""
import multiprocessing
from greenlet import getcurrent, greenlet

def work(number):
    return greenlet(lambda: number + 1).switch(), getcurrent().parent

if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Pool(1) as pool:
        print(pool.map(work, [1, 2]))
""")
    ended = with_gossamer("--as-gevent", "program.py")
    assert (ended.status, ended.out) == (0, "[(2, None), (3, None)]\n"), ended.describe()


def test_without_the_option_greenlet_is_not_gossamers(folder: Path) -> None:
    (folder / "greenlet.py").write_text("ORIGIN = 'beside the program'\n")
    (folder / "program.py").write_text("import greenlet; print(greenlet.ORIGIN)\n")
    ended = with_gossamer("program.py")
    assert (ended.status, ended.out) == (0, "beside the program\n"), ended.describe()


def test_a_greenlet_that_something_imported_before_the_program_is_one_line_and_status_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "greenlet.py").write_text("")
    (folder / "sitecustomize.py").write_text("import greenlet\n")
    (folder / "program.py").write_text("print('not reached')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    ended = with_gossamer("--as-gevent", "program.py")
    assert (ended.status, ended.out) == (2, ""), ended.describe()
    assert ended.err.startswith("gossamer run: 'greenlet' was imported already, from ")
    assert ended.err.count("\n") == 1
