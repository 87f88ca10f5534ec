"""How a program under `gossamer run` ends: as it would under `python`, to the signal and the last line."""

import signal
import sys
from pathlib import Path

import pytest

from tests.cli.launching import with_gossamer, with_python, without_addresses
from tests.support.children import run_command

ENDS = {
    "its last line": "print('done')",
    "sys.exit()": "import sys; sys.exit()",
    "sys.exit(3)": "import sys; sys.exit(3)",
    "sys.exit(300)": "import sys; sys.exit(300)",
    "sys.exit(-1)": "import sys; sys.exit(-1)",
    "sys.exit(a text)": "import sys; sys.exit('what was wrong')",
    "sys.exit(an object)": "import sys; sys.exit([1, 2])",
    "os._exit": "import os; os._exit(7)",
    "an exception": "def inner():\n    raise ValueError('bad')\n\ninner()",
    "an exception with a cause": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('bad') from e",
    "an exception group": "raise ExceptionGroup('several', [ValueError(1), KeyError(2)])",
    "a base exception": "class Stop(BaseException):\n    pass\n\nraise Stop('now')",
    "a syntax error": "def inner(:\n    pass",
    "a failing import": "import module_that_is_not_there",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "SIGINT": "import os, signal\n\ndef inner():\n    os.kill(os.getpid(), signal.SIGINT)\n\ninner()",
    "SIGTERM": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "an exception in an exit function": "import atexit; atexit.register(lambda: 1 / 0)",
    "a failing excepthook": "import sys; sys.excepthook = lambda *a: sys.exit(9); 1 / 0",
    "unraisable at the end": "class Bad:\n    def __del__(self):\n        1 / 0\n\nbad = Bad()",
}


@pytest.mark.parametrize("source", ENDS.values(), ids=ENDS.keys())
def test_a_script_ends_as_with_python(source: str, folder: Path, gossamer: tuple[str, ...]) -> None:
    (folder / "program.py").write_text(source + "\n")
    ours, pythons = with_gossamer("program.py", launcher=gossamer), with_python("program.py")
    assert without_addresses(ours) == without_addresses(pythons)


@pytest.mark.parametrize("source", ENDS.values(), ids=ENDS.keys())
def test_a_module_ends_as_with_python_and_shows_only_its_own_frames(source: str, folder: Path) -> None:
    (folder / "program.py").write_text(source + "\n")
    ours, pythons = with_gossamer("-m", "program"), with_python("-m", "program")
    assert (ours.status, ours.out) == (pythons.status, pythons.out)
    assert "gossamer" not in ours.err
    assert "runpy" not in ours.err
    assert ours.err.splitlines()[-1:] == pythons.err.splitlines()[-1:]


def test_an_interrupted_program_dies_by_the_signal(folder: Path, gossamer: tuple[str, ...]) -> None:
    (folder / "program.py").write_text("raise KeyboardInterrupt\n")
    assert with_gossamer("program.py", launcher=gossamer).status == -signal.SIGINT


def test_exit_functions_run_before_an_interrupted_program_dies(folder: Path) -> None:
    (folder / "program.py").write_text("import atexit; atexit.register(print, 'cleaned up')\nraise KeyboardInterrupt\n")
    ended = with_gossamer("program.py")
    assert (ended.status, ended.out) == (-signal.SIGINT, "cleaned up\n")


def test_an_error_in_a_package_above_the_module_shows_its_own_frames_first(folder: Path) -> None:
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("import module_that_is_not_there\n")
    (folder / "package" / "module.py").write_text("")
    ended = with_gossamer("-m", "package.module")
    lines = ended.err.splitlines()
    assert ended.status == 1
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith(f'  File "{folder / "package" / "__init__.py"}", line 1')
    assert lines[-1] == "ModuleNotFoundError: No module named 'module_that_is_not_there'"


def test_a_hook_of_the_program_sees_a_traceback_of_the_program(folder: Path) -> None:
    (folder / "program.py").write_text("""
import sys, traceback

def hook(kind, value, trace):
    print(kind.__name__, value.__traceback__ is trace)
    print([frame.name for frame in traceback.extract_tb(trace)])

def inner():
    raise ValueError

sys.excepthook = hook
inner()
""")
    ours, pythons = with_gossamer("program.py"), with_python("program.py")
    assert ours == pythons
    assert ours.out == "ValueError True\n['<module>', 'inner']\n"


def test_what_is_kept_for_a_debugger_is_a_traceback_of_the_program(folder: Path) -> None:
    (folder / "program.py").write_text("""
import atexit, sys, traceback

@atexit.register
def look():
    print(sys.last_type, [frame.name for frame in traceback.extract_tb(sys.last_traceback)])
    print(sys.last_value.__traceback__ is sys.last_traceback)

1 / 0
""")
    ours, pythons = with_gossamer("program.py"), with_python("program.py")
    assert ours == pythons


CANNOT_START = {
    "no such script": (["nothing.py"], "gossamer run: cannot open 'nothing.py': No such file or directory\n"),
    "a name too long": (["n" * 300], f"gossamer run: cannot open '{'n' * 300}': File name too long\n"),
    "a folder without __main__": (["empty"], "gossamer run: can't find '__main__' module in '{folder}/empty'\n"),
    "no such module": (["-m", "nothing_there"], "gossamer run: No module named nothing_there\n"),
    "a package without __main__": (
        ["-m", "email"],
        "gossamer run: No module named email.__main__; 'email' is a package and cannot be directly executed\n",
    ),
    "a module in C": (["-m", "_json"], "gossamer run: No code object available for _json\n"),
    "no program": ([], "gossamer run: name a SCRIPT to run, or -m MODULE (see gossamer run --help)\n"),
    "no module": (["-m"], "gossamer run: name a SCRIPT to run, or -m MODULE (see gossamer run --help)\n"),
    "another version's code": (
        ["old.pyc"],
        "gossamer run: cannot run '{folder}/old.pyc': another version of Python has compiled it; run its source\n",
    ),
}


@pytest.mark.parametrize(("words", "message"), CANNOT_START.values(), ids=CANNOT_START.keys())
def test_a_program_that_cannot_be_started_is_one_line_and_status_2(
    words: list[str], message: str, folder: Path, gossamer: tuple[str, ...]
) -> None:
    (folder / "empty").mkdir()
    (folder / "old.pyc").write_bytes(b"\x33\x0d\x0d\x0a" + bytes(12))
    ended = with_gossamer(*words, launcher=gossamer)
    assert (ended.status, ended.out, ended.err) == (2, "", message.replace("{folder}", str(folder)))


def test_an_option_of_ours_that_does_not_exist_is_refused(folder: Path) -> None:
    ended = with_gossamer("--as-stackless", "program.py")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.endswith("unrecognized arguments: --as-stackless\n")


def test_a_folder_that_is_gone_is_one_line_and_status_2(folder: Path) -> None:
    (folder / "gone").mkdir()
    run = f"cd gone; rmdir ../gone; exec {sys.executable} -P -m gossamer run program.py"
    ended = run_command(["/bin/sh", "-c", run])
    assert (ended.status, ended.err) == (
        2,
        "gossamer run: cannot find the current folder: No such file or directory\n",
    )
