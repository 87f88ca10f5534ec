"""tools/matrix.py, with interpreters that are shell scripts: what it finds, what it runs, what it says."""

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from tools import matrix

# Answers the probe; as the interpreter of tools/environment.py it makes an environment whose suite ends as told.
INTERPRETER = """#!/bin/sh
case $1 in
  -c) echo '{facts}' ;;
  *environment.py) echo "$@" >>{log}; mkdir -p "$2/bin"; printf '%s\\n' '#!/bin/sh' 'echo suite "$@" >>{log}' \\
      'env >>{log}' 'echo "=== 3 things ==="' 'exit {status}' >"$2/bin/python"; chmod +x "$2/bin/python" ;;
esac
"""


class Machine:
    """Folders for PATH, pyenv and the rest, all empty at first."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "path"
        self.pyenv = folder / "pyenv" / "versions"
        self.elsewhere = folder / "elsewhere"
        self.log = folder / "log"
        for place in (self.path, self.pyenv, self.elsewhere):
            place.mkdir(parents=True)

    def add(self, file: Path, version: str, *, status: int = 0, **facts: object) -> Path:
        """Put an interpreter there; `status` is how its suite ends."""
        answer = {
            "implementation": "CPython",
            "version": version,
            "debug": False,
            "free_threaded": False,
            "address_sanitizer": False,
            "headers": True,
        } | facts
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(INTERPRETER.format(facts=json.dumps(answer), log=self.log, status=status))
        file.chmod(0o755)
        return file

    def on_path(self, version: str, **facts: object) -> Path:
        minor = version.split(".")[1]
        return self.add(self.path / f"python3.{minor}", version, **facts)  # type: ignore[arg-type]

    def in_pyenv(self, version: str) -> Path:
        minor = version.split(".")[1]
        return self.add(self.pyenv / version / "bin" / f"python3.{minor}", version)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    it = Machine(tmp_path)
    # The plain commands stay on PATH, but no interpreter of the real machine does.
    monkeypatch.setattr(shutil, "which", lambda name: str(it.path / name) if (it.path / name).exists() else None)
    monkeypatch.setenv("PYENV_ROOT", str(it.pyenv.parent))
    monkeypatch.delenv("GOSSAMER_PYTHONS", raising=False)
    monkeypatch.setattr(matrix, "PLACE", tmp_path / "place")
    return it


def versions(prefixes: list[list[str]] | None = None) -> list[str]:
    found, _ = matrix.discover(prefixes or [])
    return [interpreter.label for interpreter in found]


def test_one_interpreter_of_each_version_is_found_on_path_and_among_pyenvs(machine: Machine) -> None:
    machine.on_path("3.12.9")
    machine.in_pyenv("3.12.1")
    machine.in_pyenv("3.13.9")
    machine.in_pyenv("3.13.10")
    machine.in_pyenv("3.10.1")
    assert versions() == ["3.12.9", "3.13.10"]


def test_interpreters_behind_a_prefix_fill_the_gaps(machine: Machine) -> None:
    machine.on_path("3.12.9")
    prefix = ["env", f"PATH={machine.elsewhere}"]
    machine.add(machine.elsewhere / "python3.12", "3.12.0")
    machine.add(machine.elsewhere / "python3.14", "3.14.2")
    found, _ = matrix.discover([prefix])
    assert [(one.label, one.prefix) for one in found] == [("3.12.9", ()), ("3.14.2", tuple(prefix))]


def test_interpreters_named_in_the_environment_are_all_taken_and_come_first(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.on_path("3.13.9")
    plain = machine.add(machine.elsewhere / "plain", "3.13.0")
    debug = machine.add(machine.elsewhere / "debug", "3.13.0", debug=True)
    monkeypatch.setenv("GOSSAMER_PYTHONS", os.pathsep.join(map(str, (plain, debug))))
    assert versions() == ["3.13.0", "3.13.0-debug"]


def test_versions_that_are_lacking_are_named_with_the_reason(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.on_path("3.11.1")
    machine.on_path("3.12.1", headers=False)
    assert matrix.main(["--mode", "plain"]) == 0
    said = capsys.readouterr().out
    assert "not here: CPython 3.12:" in said
    assert "has no C headers" in said
    assert "not here: CPython 3.15: no python3.15 on PATH" in said
    assert "CPython 3.11:" not in said


def test_builds_that_are_lacking_are_named(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOSSAMER_PYTHONS", str(machine.add(machine.elsewhere / "debug", "3.13.0", debug=True)))
    assert matrix.main(["--mode", "plain"]) == 0
    said = capsys.readouterr().out
    lacking = [line for line in said.splitlines() if line.startswith("not here: a CPython built")]
    assert [line.split(":")[1] for line in lacking] == [
        " a CPython built with --with-address-sanitizer",
        " a CPython built with --disable-gil",
    ]


def test_a_machine_without_valgrind_says_so_and_runs_the_other_modes(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "sanitizer_library", lambda prefix: "")
    machine.on_path("3.11.1")
    assert matrix.main([]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "not here: valgrind: not on PATH; the mode valgrind needs it" in said
    assert said[-1] == "6 of 6 runs passed"


def test_valgrind_asked_for_on_a_machine_without_it_is_an_error(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.on_path("3.11.1")
    assert matrix.main(["--mode", "valgrind"]) == 2
    assert "no valgrind on PATH" in capsys.readouterr().err


def test_a_part_of_the_suite_runs_under_valgrind_with_an_extension_built_for_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.on_path("3.11.1")
    valgrind = machine.path / "valgrind"
    valgrind.write_text(f"""#!/bin/sh
echo "valgrind $@" >>{machine.log}
while case $1 in -*) ;; *) false ;; esac; do shift; done
exec "$@"
""")
    valgrind.chmod(0o755)
    monkeypatch.setenv("PATH", str(machine.path), prepend=os.pathsep)
    assert matrix.main(["--mode", "valgrind"]) == 0
    log = machine.log.read_text()
    assert "3.11.1-valgrind --group=test --group=certificates --group=gevent --setup-arg=-Dvalgrind=true" in log
    assert "--error-exitcode=99" in log
    assert "PYTHONMALLOC=malloc\n" in log
    (suite,) = (line for line in log.splitlines() if line.startswith("suite -m pytest"))
    assert suite.endswith(" ".join(matrix.VALGRIND_TESTS))


def test_a_machine_without_any_cpython_is_an_error(machine: Machine) -> None:
    assert matrix.main([]) == 2


@pytest.mark.parametrize(
    ("facts", "complaint"),
    [
        ({"version": "3.10.4"}, "is CPython 3.10.4; Gossamer is for CPython 3.11 to 3.15"),
        ({"version": "3.11.9", "implementation": "PyPy"}, "is PyPy 3.11.9"),
        ({"version": "3.11.9", "headers": False}, "has no C headers"),
    ],
)
def test_an_interpreter_asked_for_that_cannot_be_used_is_an_error(
    machine: Machine, capsys: pytest.CaptureFixture[str], facts: dict[str, object], complaint: str
) -> None:
    python = machine.add(machine.elsewhere / "python", **facts)  # type: ignore[arg-type]
    assert matrix.main(["--python", str(python)]) == 2
    assert complaint in capsys.readouterr().err


def test_an_interpreter_that_is_not_there_is_an_error(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert matrix.main(["--python", "/nowhere/python3"]) == 2
    assert "/nowhere/python3: does not run" in capsys.readouterr().err


def test_each_interpreter_runs_the_suite_in_each_mode(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.on_path("3.11.1")
    machine.on_path("3.13.1")
    assert matrix.main(["--mode", "plain", "--mode", "gc"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "4 of 4 runs passed"


def test_a_run_that_fails_makes_the_matrix_fail_and_the_others_go_on(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.on_path("3.11.1", status=1)
    machine.on_path("3.13.1")
    assert matrix.main(["--mode", "plain"]) == 1
    said = capsys.readouterr().out
    assert "    | === 3 things ===" in said
    assert said.splitlines()[-2:] == ["failed: 3.11.1 plain", "1 of 2 runs passed"]


def test_the_suite_gets_the_arguments_after_two_dashes_and_the_variables_of_its_mode(machine: Machine) -> None:
    machine.on_path("3.11.1")
    assert matrix.main(["--mode", "gc", "--", "tests/core", "-x"]) == 0
    log = machine.log.read_text()
    assert "tests/core -x\n" in log
    assert "GOSSAMER_TEST_GC_THRESHOLD=1\n" in log


def test_an_environment_has_the_groups_that_can_be_installed_for_its_interpreter(machine: Machine) -> None:
    free_threaded = machine.add(machine.elsewhere / "python3.13t", "3.13.1", free_threaded=True)
    later = machine.add(machine.elsewhere / "python3.14t", "3.14.1", free_threaded=True)
    for python in free_threaded, later:
        assert matrix.main(["--python", str(python), "--mode", "plain"]) == 0
    log = machine.log.read_text()
    assert "3.13.1t --group=test\n" in log
    assert "3.14.1t --group=test --group=certificates\n" in log


def test_sanitizers_are_built_apart_and_preloaded(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    # Any library does: the stand-ins are not to be run under AddressSanitizer.
    monkeypatch.setattr(matrix, "sanitizer_library", lambda prefix: "")
    machine.on_path("3.11.1")
    assert matrix.main(["--mode", "sanitizers"]) == 0
    log = machine.log.read_text()
    assert (
        "3.11.1-sanitized --group=test --group=certificates --group=gevent --setup-arg=-Db_sanitize=address,undefined"
        in log
    )
    assert "LD_PRELOAD=\n" in log
    assert "PYTHONMALLOC=malloc\n" in log


def test_an_interpreter_built_with_address_sanitizer_runs_the_sanitizers_with_nothing_preloaded(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    python = machine.add(machine.elsewhere / "python", "3.13.5", address_sanitizer=True)
    assert matrix.main(["--python", str(python)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 1 runs passed"
    assert "LD_PRELOAD" not in machine.log.read_text()


def test_everything_of_an_interpreter_runs_behind_its_prefix(machine: Machine) -> None:
    inside = machine.add(machine.elsewhere / "python3.14", "3.14.2")
    prefix = machine.path / "enter"
    prefix.write_text(f'#!/bin/sh\necho behind the prefix: "$@" >>{machine.log}\nexec "$@"\n')
    prefix.chmod(0o755)
    assert matrix.main(["--python", shlex.join([str(prefix), str(inside)]), "--mode", "plain"]) == 0
    behind = [line for line in machine.log.read_text().splitlines() if line.startswith("behind the prefix")]
    assert len(behind) == 3
    assert "environment.py" in behind[1]
    assert "-m pytest" in behind[2]
