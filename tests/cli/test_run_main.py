"""`gossamer run` gives a program the `__main__` that `python` gives it."""

import os
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cli.launching import with_gossamer, with_python, without_addresses
from tests.support.children import run_command

SHOW = """
import sys
for name, value in sorted(globals().items()):
    print(name, repr(value))
print(sys.modules["__main__"].__dict__ is globals())
print(sys.argv, sys.path)
"""


@pytest.fixture
def programs(folder: Path) -> Path:
    """A program that shows what it was given, in every form that can be run."""
    (folder / "show.py").write_text(SHOW)
    for package in ("package", "package/inner"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text("")
        (folder / package / "__main__.py").write_text(SHOW)
    (folder / "package" / "module.py").write_text(SHOW)
    (folder / "plain").mkdir()
    (folder / "plain" / "__main__.py").write_text(SHOW)
    (folder / "link.py").symlink_to("package/module.py")
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", SHOW)
    return folder


WAYS = [
    ["show.py"],
    ["./show.py"],
    ["package/../show.py"],
    ["package/module.py"],
    ["link.py"],
    ["plain"],
    ["./plain/"],
    ["archive.zip"],
    ["-m", "show"],
    ["-m", "package"],
    ["-m", "package.inner"],
    ["-m", "package.module"],
]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_the_program_sees_what_python_would_show_it(programs: Path, way: list[str]) -> None:
    words = [*way, "one", "--as-gevent", "-m", "--help", "--", "-"]
    ours, pythons = without_addresses(with_gossamer(*words)), without_addresses(with_python(*words))
    assert ours == pythons
    assert ours.status == 0, ours.describe()


@pytest.mark.parametrize("way", [["show.py"], ["plain"], ["-m", "package"]], ids=" ".join)
def test_the_gossamer_command_leaves_nothing_of_itself_on_the_path(
    programs: Path, way: list[str], gossamer: tuple[str, ...]
) -> None:
    ours, pythons = with_gossamer(*way, launcher=gossamer), with_python(*way)
    assert without_addresses(ours) == without_addresses(pythons)


@pytest.mark.parametrize("way", [["show.py"], ["plain"], ["archive.zip"], ["-m", "json.tool", "--help"]], ids=" ".join)
@pytest.mark.parametrize("option", ["-P", "-I"])
def test_with_safe_paths_the_folder_of_the_program_stays_off_the_path(
    programs: Path, way: list[str], option: str
) -> None:
    ours = run_command([sys.executable, option, "-m", "gossamer", "run", *way])
    pythons = run_command([sys.executable, option, *way])
    assert without_addresses(ours) == without_addresses(pythons)


def test_an_absolute_path_is_kept(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = str(programs / "show.py")
    monkeypatch.chdir("/")
    assert without_addresses(with_gossamer(script)) == without_addresses(with_python(script))


def test_the_alias_changes_nothing_of_it(programs: Path) -> None:
    assert without_addresses(with_gossamer("--as-gevent", "show.py")) == without_addresses(with_python("show.py"))


def test_a_compiled_script_runs(folder: Path) -> None:
    (folder / "source.py").write_text("import sys; print(__file__, type(__loader__).__name__, sys.argv)\n")
    assert with_python("-c", "import py_compile; py_compile.compile('source.py', 'script.pyc')").status == 0
    ours, pythons = with_gossamer("script.pyc", "x"), with_python("script.pyc", "x")
    assert ours == pythons
    assert ours.status == 0, ours.describe()


def test_a_script_may_come_from_something_that_is_no_regular_file(folder: Path) -> None:
    os.mkfifo("pipe")
    command = ['"$0" "$@" & echo "print(__file__)" > pipe; wait $!', sys.executable, "-m", "gossamer", "run", "pipe"]
    ended = run_command(["/bin/sh", "-c", *command])
    assert (ended.status, ended.out, ended.err) == (0, f"{folder / 'pipe'}\n", ""), ended.describe()


def test_modules_beside_the_script_can_be_imported(folder: Path) -> None:
    (folder / "apart").mkdir()
    (folder / "apart" / "helper.py").write_text("VALUE = 7\n")
    (folder / "apart" / "program.py").write_text("import helper; print(helper.VALUE)\n")
    ended = with_gossamer("apart/program.py")
    assert (ended.status, ended.out) == (0, "7\n"), ended.describe()


def test_source_of_the_program_can_be_read_by_the_program(folder: Path) -> None:
    (folder / "program.py").write_text(
        "import inspect, linecache\n"
        "def function():\n"
        "    return 1\n"
        "print(inspect.getsource(function) + linecache.getline(__file__, 1), end='')\n"
    )
    ours = with_gossamer("program.py")
    assert (ours.status, ours.out) == (0, "def function():\n    return 1\nimport inspect, linecache\n"), ours.describe()


@pytest.mark.parametrize("way", [["program.py"], ["-m", "program"], ["."]], ids=" ".join)
def test_main_is_still_the_programs_when_exit_functions_and_threads_run(folder: Path, way: list[str]) -> None:
    source = """
import atexit, pickle, sys, threading

class Thing:
    pass

main_is_over = threading.Event()

def look():
    print(sys.modules["__main__"].Thing is Thing, pickle.loads(pickle.dumps(Thing)) is Thing)

def later():
    threading.main_thread().join()
    look()

atexit.register(look)
threading.Thread(target=later).start()
"""
    (folder / "program.py").write_text(source)
    (folder / "__main__.py").write_text(source)
    ended = with_gossamer(*way)
    assert (ended.status, ended.out, ended.err) == (0, "True True\n" * 2, ""), ended.describe()


MULTIPROCESSING = """
import multiprocessing
import sys

class Job:
    def __init__(self, number):
        self.number = number

def work(job):
    return job.number + 1, type(job).__module__, __name__

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(1) as pool:
        print(pool.map(work, [Job(1), Job(2)]))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("way", [["program.py"], ["-m", "program"], ["-m", "package.program"]], ids=" ".join)
def test_classes_of_the_program_are_found_in_processes_of_multiprocessing(
    folder: Path, way: list[str], method: str
) -> None:
    (folder / "program.py").write_text(MULTIPROCESSING)
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "program.py").write_text(MULTIPROCESSING)
    ours, pythons = with_gossamer(*way, method), with_python(*way, method)
    assert ours == pythons
    assert ours.out == "[(2, '__mp_main__', '__mp_main__'), (3, '__mp_main__', '__mp_main__')]\n", ours.describe()
