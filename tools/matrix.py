"""The suite on every CPython there is, and under everything that finds memory errors.

    python tools/matrix.py [--python COMMAND]... [--prefix COMMAND]... [--mode MODE]... [-- PYTEST ARGUMENTS]

Without --python it looks for CPython 3.11 to 3.15, one of each: the entries of the environment variable
GOSSAMER_PYTHONS (separated like PATH), then python3.X on PATH, then pyenv's versions (the newest patch release), then
python3.X behind each --prefix: a command such as `chroot FOLDER` or `docker exec NAME` that runs the command given
after it in a place that sees this tree under the same path. It says which versions, and which kinds of builds, it did
not find. COMMAND is split like a shell's: an interpreter, possibly behind a prefix. With --python only those run: a
debug, free-threaded or AddressSanitizer build.

Each interpreter gets environments of its own below .matrix/ (made by tools/environment.py) and runs the suite in each
mode:

    plain        as `make test` does
    dev          CPython's development mode (-X dev), for child processes too
    malloc       PYTHONMALLOC=debug: writes past an object's end, uses after free, calls without the GIL
    gc           a garbage collection at nearly every allocation
    soak         the tests that take minutes, marked `soak`, and no others
    sanitizers   the extension built with AddressSanitizer and UBSan; libasan is preloaded unless the interpreter
                 was itself built with it (such an interpreter runs this mode only, unless --mode says otherwise)
    valgrind     a part of the suite (VALGRIND_TESTS) under memcheck: every access out of bounds, in the interpreter and
                 in the assembler too. Values that were never set are not looked for: a release build of CPython
                 computes with some, and what is computed from them counts as unset ever after

A run's output goes to .matrix/logs/, its last lines here if it failed. The exit status is 0 when all passed, 1 when one
failed, 2 when nothing could be run.
"""

import argparse
import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".matrix"
MINORS = range(11, 16)
# Enough for a sanitizer under gc.set_threshold(1) on a slow machine; the suite's own limits are for a plain run.
SLOW = ["--timeout=1200", "-o", "faulthandler_timeout=1500"]
LINES_OF_A_FAILURE = 60

# Run by each interpreter to tell what it is. Leaks are not looked for: CPython frees little at exit.
PROBE = """if True:
    import json, os, platform, sys, sysconfig as s
    print(json.dumps({
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "debug": bool(s.get_config_var("Py_DEBUG")),
        "free_threaded": bool(s.get_config_var("Py_GIL_DISABLED")),
        "address_sanitizer": "--with-address-sanitizer" in (s.get_config_var("CONFIG_ARGS") or ""),
        "headers": os.path.exists(os.path.join(s.get_path("include"), "Python.h")),
    }))
"""
SANITIZER_OPTIONS = {
    # allocator_may_return_null: an allocation that is too large is to raise MemoryError, as it does elsewhere.
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


# Under memcheck everything takes many times as long, so it sees what moves and hands over stacks. An error shows in the
# exit status of the process.
VALGRIND_TESTS = (
    "tests/core/switch/test_switch.py",
    "tests/core/switch/test_throw.py",
    "tests/core/runtime/test_sleep.py",
    "tests/points/test_lock.py",
)
VALGRIND = (
    "valgrind",
    "--quiet",
    "--undef-value-errors=no",
    "--error-exitcode=99",
    "--num-callers=20",
    f"--suppressions={ROOT / 'tools' / 'valgrind.supp'}",
)


@dataclasses.dataclass(frozen=True)
class Interpreter:
    """A CPython to run the suite with: how to call it, and what it is."""

    command: tuple[str, ...]
    version: str
    debug: bool
    free_threaded: bool
    address_sanitizer: bool
    headers: bool

    @property
    def label(self) -> str:
        """Its name in reports and folders, such as 3.13.0-debug."""
        kinds = [("debug", self.debug), ("asan", self.address_sanitizer)]
        return "-".join([self.version + "t" * self.free_threaded, *(kind for kind, is_so in kinds if is_so)])

    @property
    def minor(self) -> int:
        """13 for CPython 3.13."""
        return int(self.version.split(".")[1])

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before the interpreter itself."""
        return self.command[:-1]


@dataclasses.dataclass(frozen=True)
class Mode:
    """A way to run the suite: arguments for building the extension, and variables for running the tests."""

    name: str
    environment: Mapping[str, str]
    setup_arguments: tuple[str, ...] = ()
    folder: str = ""  # what the name of an environment of its own ends in, when the extension is built differently
    wrapper: tuple[str, ...] = ()  # the words before the interpreter that runs the tests
    tests: tuple[str, ...] = ()  # the part of the suite, unless pytest is told otherwise

    @property
    def sanitizes(self) -> bool:
        """True when the extension is built with sanitizers."""
        return self.name == "sanitizers"

    @property
    def lacks(self) -> str:
        """The program that it needs and this machine has not, or nothing."""
        return self.wrapper[0] if self.wrapper and shutil.which(self.wrapper[0]) is None else ""


MODES = {
    mode.name: mode
    for mode in (
        Mode("plain", {}),
        Mode("dev", {"PYTHONDEVMODE": "1"}),
        Mode("malloc", {"PYTHONMALLOC": "debug"}),
        Mode("gc", {"GOSSAMER_TEST_GC_THRESHOLD": "1", "GOSSAMER_TEST_PATIENCE": "10"}),
        Mode(
            "sanitizers",
            {**SANITIZER_OPTIONS, "GOSSAMER_TEST_PATIENCE": "10"},
            ("-Db_sanitize=address,undefined", "-Dbuildtype=debugoptimized"),
            folder="-sanitized",
        ),
        Mode(
            "valgrind",
            {"PYTHONMALLOC": "malloc", "GOSSAMER_TEST_PATIENCE": "20"},
            ("-Dvalgrind=true", "-Dbuildtype=debugoptimized"),
            folder="-valgrind",
            wrapper=VALGRIND,
            tests=VALGRIND_TESTS,
        ),
        Mode("soak", {"PYTEST_ADDOPTS": "-m soak"}),
    )
}


# What finds errors that no release build shows, and has no name of its own to be looked for by.
KINDS = {
    "debug": "with --with-pydebug",
    "address_sanitizer": "with --with-address-sanitizer",
    "free_threaded": "with --disable-gil",
}


class Unusable(Exception):
    """An interpreter or an option cannot be used; the message says why and what to do."""


# ---- finding interpreters


def examine(command: Sequence[str]) -> Interpreter:
    """Ask an interpreter what it is. Raises Unusable when it does not answer or is not a CPython with headers."""
    shown = shlex.join(command)
    try:
        environment = {**os.environ, **SANITIZER_OPTIONS}
        answer = subprocess.run([*command, "-c", PROBE], capture_output=True, text=True, env=environment, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise Unusable(f"{shown}: does not run: {problem}") from None
    if answer.returncode != 0:
        last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unusable(f"{shown}: does not run: exit status {answer.returncode}, {last}")
    facts = json.loads(answer.stdout.splitlines()[-1])
    implementation = facts.pop("implementation")
    found = Interpreter(tuple(command), **facts)
    if implementation != "CPython" or found.minor not in MINORS:
        raise Unusable(f"{shown}: is {implementation} {found.version}; Gossamer is for CPython 3.11 to 3.15")
    if not found.headers:
        raise Unusable(f"{shown}: has no C headers (Python.h) to build against")
    return found


def discover(prefixes: Iterable[Sequence[str]]) -> tuple[list[Interpreter], list[str]]:
    """One interpreter of each version, GOSSAMER_PYTHONS' all; and why each version that has none lacks it."""
    found: dict[str, Interpreter] = {}
    for entry in filter(None, os.environ.get("GOSSAMER_PYTHONS", "").split(os.pathsep)):
        interpreter = examine(shlex.split(entry))
        found.setdefault(interpreter.label, interpreter)
    lacking = []
    for minor in MINORS:
        if any(interpreter.minor == minor for interpreter in found.values()):
            continue
        problem = f"no python3.{minor} on PATH, among pyenv's versions or behind a --prefix"
        for command in candidates(minor, prefixes):
            try:
                interpreter = examine(command)
            except Unusable as unusable:
                problem = str(unusable)
            else:
                found[interpreter.label] = interpreter
                break
        else:
            lacking.append(f"CPython 3.{minor}: {problem}")
    lacking += (
        f"a CPython built {how}: name one in GOSSAMER_PYTHONS"
        for kind, how in KINDS.items()
        if not any(getattr(interpreter, kind) for interpreter in found.values())
    )
    return sorted(found.values(), key=lambda interpreter: interpreter.minor), lacking


def candidates(minor: int, prefixes: Iterable[Sequence[str]]) -> Iterator[list[str]]:
    """Commands that may run CPython 3.`minor`, best first."""
    name = f"python3.{minor}"
    on_path = shutil.which(name)
    if on_path:
        yield [on_path]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for folder in sorted(pyenv.glob(f"3.{minor}.*"), key=patch_release, reverse=True):
        yield [str(folder / "bin" / name)]
    for prefix in prefixes:
        yield [*prefix, name]


def patch_release(folder: Path) -> int:
    """10 for a folder named 3.14.10; releases under development come last."""
    patch = folder.name.split(".")[2]
    return int(patch) if patch.isdecimal() else -1


# ---- running the suite


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one run of the suite ended."""

    interpreter: Interpreter
    mode: Mode
    passed: bool
    summary: str
    seconds: float


def run(interpreter: Interpreter, mode: Mode, pytest_arguments: Sequence[str]) -> Outcome:
    """Bring the environment up to date and run the suite in it, with the output in a log file."""
    log = PLACE / "logs" / f"{interpreter.label}-{mode.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    home = PLACE / (interpreter.label + mode.folder)
    print(f"{interpreter.label:<14} {mode.name:<11}", end=" ", flush=True)
    began = time.monotonic()
    status = 0
    with log.open("w") as output:
        try:
            for command, environment in commands(interpreter, mode, home, pytest_arguments):
                status = execute(interpreter.prefix, command, environment, output)
                if status != 0:
                    break
        except Unusable as problem:
            status = 2
            output.write(f"{problem}\n")
    lines = log.read_text(errors="replace").splitlines() or ["no output"]
    outcome = Outcome(interpreter, mode, status == 0, lines[-1].strip("= "), time.monotonic() - began)
    print(f"{'passed' if outcome.passed else 'FAILED'}  {outcome.seconds:6.1f} s  {outcome.summary}")
    if not outcome.passed:
        print(*(f"    | {line}" for line in lines[-LINES_OF_A_FAILURE:]), f"    all of it: {log}", sep="\n")
    return outcome


def commands(
    interpreter: Interpreter, mode: Mode, home: Path, pytest_arguments: Sequence[str]
) -> Iterator[tuple[list[str], dict[str, str]]]:
    """What a run consists of: each command with the variables that it needs."""
    arguments = [f"--setup-arg={argument}" for argument in mode.setup_arguments]
    arguments = [*(f"--group={group}" for group in groups_for(interpreter)), *arguments]
    make = [interpreter.command[-1], str(ROOT / "tools" / "environment.py"), str(home), *arguments]
    yield make, dict(SANITIZER_OPTIONS)
    suite = [str(home / "bin" / "python"), "-m", "pytest", "-p", "no:cacheprovider", *SLOW]
    yield [*mode.wrapper, *suite, *(pytest_arguments or mode.tests)], test_environment(interpreter, mode)


def groups_for(interpreter: Interpreter) -> list[str]:
    """The dependency groups that can be installed for it."""
    groups = ["test"]
    if not (interpreter.free_threaded and interpreter.minor == 13):
        groups.append("certificates")
    if not (interpreter.debug or interpreter.free_threaded):  # gevent has wheels for release builds only
        groups.append("gevent")
    return groups


def test_environment(interpreter: Interpreter, mode: Mode) -> dict[str, str]:
    """The variables that the suite runs with."""
    environment = {**SANITIZER_OPTIONS, **mode.environment}
    if mode.sanitizes and not interpreter.free_threaded:
        # CPython's allocator hides its objects from AddressSanitizer; free-threaded builds cannot do without theirs.
        environment["PYTHONMALLOC"] = "malloc"
    if mode.sanitizes and not interpreter.address_sanitizer:
        environment["LD_PRELOAD"] = sanitizer_library(interpreter.prefix)
    return environment


def sanitizer_library(prefix: Sequence[str]) -> str:
    """The path of gcc's libasan. Raises Unusable when gcc has none."""
    answer = subprocess.run([*prefix, "gcc", "-print-file-name=libasan.so"], capture_output=True, text=True)
    path = answer.stdout.strip()
    if not Path(path).is_absolute():  # gcc answers with the bare name for what it does not have
        raise Unusable("gcc has no libasan.so, which the sanitizers need: install gcc's libasan package")
    return path


def execute(prefix: Sequence[str], command: Sequence[str], environment: Mapping[str, str], output: IO[str]) -> int:
    """Run `command` in the tree's root. Its variables are set behind the prefix: that is not itself to be preloaded."""
    settings = [f"{name}={value}" for name, value in environment.items()]
    full = [*prefix, "env", *settings, *command]
    return subprocess.run(full, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT).returncode


def main(arguments: list[str] | None = None) -> int:
    """Find the interpreters, run the suite with each in each mode, report; returns the exit status."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        interpreters, lacking = chosen(options)
        for name in filter(None, (MODES[name].lacks for name in options.mode)):
            raise Unusable(f"no {name} on PATH, which a mode asked for needs: install it")
    except Unusable as problem:
        print(problem, file=sys.stderr)
        return 2
    outcomes = [
        run(interpreter, mode, options.pytest)
        for interpreter in interpreters
        for mode in modes_for(interpreter, options.mode)
    ]
    report(outcomes, lacking)
    if not outcomes:
        return 2
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; what follows `--` is pytest's."""
    parser = argparse.ArgumentParser(
        description="Run the suite on every CPython there is.", epilog="The top of this file says more."
    )
    parser.add_argument("--python", action="append", default=[], help="run only this interpreter (a command)")
    parser.add_argument("--prefix", action="append", default=[], help="look for interpreters behind this command too")
    parser.add_argument("--mode", action="append", default=[], choices=list(MODES), help="run only this mode")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    return parser.parse_args(arguments)


def chosen(options: argparse.Namespace) -> tuple[list[Interpreter], list[str]]:
    """The interpreters to run, and what to say of versions that are lacking."""
    if options.python:
        return [examine(shlex.split(command)) for command in options.python], lacking_programs()
    found, lacking = discover([shlex.split(prefix) for prefix in options.prefix])
    return found, lacking + lacking_programs()


def lacking_programs() -> list[str]:
    """What to say of modes that do not run, as what they need is not on this machine."""
    return [f"{mode.lacks}: not on PATH; the mode {mode.name} needs it" for mode in MODES.values() if mode.lacks]


def modes_for(interpreter: Interpreter, names: Sequence[str]) -> list[Mode]:
    """The modes asked for, or those that make sense for the interpreter and that this machine has the programs for."""
    if names:
        return [MODES[name] for name in names]
    if interpreter.address_sanitizer:
        return [MODES["sanitizers"]]
    return [mode for mode in MODES.values() if not mode.lacks]


def report(outcomes: Sequence[Outcome], lacking: Sequence[str]) -> None:
    """The last lines: how many runs passed, which failed, what is not on this machine."""
    for line in lacking:
        print(f"not here: {line}")
    failed = [f"{outcome.interpreter.label} {outcome.mode.name}" for outcome in outcomes if not outcome.passed]
    if failed:
        print(f"failed: {', '.join(failed)}")
    print(f"{len(outcomes) - len(failed)} of {len(outcomes)} runs passed")


if __name__ == "__main__":
    sys.exit(main())
