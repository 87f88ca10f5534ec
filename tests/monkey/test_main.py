"""`python -m gossamer.monkey`: patches, then runs a program."""

import sys
from pathlib import Path

import pytest

from tests.support.children import Ended, run_command

PROGRAM = """
import sys, threading
from gossamer import monkey
print(__name__, sys.argv[1:], monkey.is_module_patched('threading'), monkey.is_module_patched('socket'))
thread = threading.Thread(target=print, args=('from', 'a', 'thread'))
thread.start()
thread.join()
"""


def run(*words: str) -> Ended:
    return run_command([sys.executable, "-m", "gossamer.monkey", *words])


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return str(path)


def test_a_script_is_run_patched_with_its_arguments(program: str) -> None:
    ended = run(program, "--no-socket", "x")
    assert (ended.status, ended.err) == (0, ""), ended.describe()
    assert ended.out == "__main__ ['--no-socket', 'x'] True True\nfrom a thread\n"


def test_a_part_can_be_left_out(program: str) -> None:
    ended = run("--no-socket", "--verbose", program)
    assert ended.out == ("gossamer.monkey.patch_all(socket=False)\n__main__ [] True False\nfrom a thread\n"), (
        ended.describe()
    )


def test_a_module_can_be_run() -> None:
    ended = run("--module", "json.tool", "--help")
    assert (ended.status, ended.out.startswith("usage: ")) == (0, True), ended.describe()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--no-sockets", "x.py"], "gossamer.monkey: there is no option --no-sockets; see --help\n"),
        ([], "gossamer.monkey: name a SCRIPT to run; see --help\n"),
        (["nothing_there.py"], "gossamer.monkey: cannot open 'nothing_there.py': No such file or directory\n"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_status_2(words: list[str], message: str) -> None:
    ended = run(*words)
    assert (ended.status, ended.out, ended.err) == (2, "", message)


def test_help_names_every_part() -> None:
    ended = run("--help")
    assert (ended.status, ended.err) == (0, "")
    assert all(name in ended.out for name in ("socket", "thread", "--module"))
