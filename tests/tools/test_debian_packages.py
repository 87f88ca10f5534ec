"""tools/debian-packages, with stand-ins for apt-get, id, the compiler and the interpreter on PATH."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "debian-packages"


class Machine:
    """A machine with nothing on PATH but what a test puts there; `log` is what apt-get was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        self.add("sh", 'exec /bin/sh "$@"')
        self.add("python3", f'exec {sys.executable} "$@"')
        self.user("1000")
        self.add("apt-get", f'echo "$@" >>{self.calls}')

    def add(self, name: str, body: str) -> None:
        command = self.folder / name
        command.write_text(f"#!/bin/sh\n{body}\n")
        command.chmod(0o755)

    def user(self, number: str) -> None:
        self.add("id", f"echo {number}")

    def compiler(self, *, headers: bool = True) -> None:
        self.add("gcc", f'case "$*" in *-E*) /bin/cat >/dev/null; exit {int(not headers)} ;; esac')

    def run(self, *purposes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", SCRIPT, *purposes], env={"PATH": str(self.folder)}, capture_output=True, text=True
        )

    @property
    def log(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_is_asked_of_a_machine_that_has_everything(machine: Machine) -> None:
    machine.compiler()
    for server in ("g++", "redis-server", "mariadbd", "initdb", "rabbitmq-server", "curl", "gdb"):
        machine.add(server, "exit")
    ended = machine.run("build", "test")
    assert (ended.returncode, ended.stdout, ended.stderr, machine.log) == (0, "", "", [])


def test_without_root_the_one_command_is_printed_and_the_status_is_2(machine: Machine) -> None:
    ended = machine.run("build")
    assert ended.returncode == 2
    assert "  apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev\n" in ended.stderr
    assert machine.log == []


def test_only_what_is_missing_is_named(machine: Machine) -> None:
    machine.compiler(headers=False)
    assert "--no-install-recommends libc6-dev\n" in machine.run("build").stderr


def test_root_gets_missing_packages_installed_after_an_update(machine: Machine) -> None:
    machine.user("0")
    machine.compiler()
    compiler = machine.folder / "gcc"
    archive = compiler.rename(machine.folder / "archive")
    machine.add("apt-get", f'echo "$@" >>{machine.calls}; [ "$1" = update ] || /bin/cp {archive} {compiler}')
    ended = machine.run("build")
    assert ended.returncode == 0, ended.stderr
    assert machine.log == ["update -q", "install -y -q --no-install-recommends gcc libc6-dev"]


def test_an_installation_that_does_not_help_is_an_error(machine: Machine) -> None:
    machine.user("0")
    ended = machine.run("build")
    assert ended.returncode == 2
    assert "and yet the checks for these fail: gcc libc6-dev" in ended.stderr


def test_without_apt_get_the_missing_things_are_named(machine: Machine) -> None:
    (machine.folder / "apt-get").unlink()
    ended = machine.run("build")
    assert ended.returncode == 2
    assert "what Debian calls gcc libc6-dev" in ended.stderr


def test_a_missing_interpreter_is_an_error_that_says_how_to_name_another(machine: Machine) -> None:
    (machine.folder / "python3").unlink()
    ended = machine.run("build")
    assert ended.returncode == 2
    assert "No interpreter 'python3'" in ended.stderr
    assert "make PYTHON=" in ended.stderr


def test_an_interpreter_older_than_3_11_is_refused_with_its_version(machine: Machine) -> None:
    machine.add("python3", 'case "$*" in *version_info*) exit 1 ;; --version) echo Python 3.10.2 ;; esac')
    ended = machine.run("build")
    assert ended.returncode == 2
    assert "'python3' is Python 3.10.2; Gossamer needs CPython 3.11 or newer." in ended.stderr


@pytest.mark.parametrize(("lacks", "named"), [("Python.h", "Python.h"), ("ensurepip", "venv or ensurepip")])
def test_debian_is_not_asked_for_parts_of_an_interpreter_that_is_not_its_own(
    machine: Machine, lacks: str, named: str
) -> None:
    machine.compiler()
    machine.add("python3", f'case "$*" in *{lacks}*) exit 1 ;; esac')
    ended = machine.run("build")
    assert ended.returncode == 2
    assert named in ended.stderr
    assert "apt-get" not in ended.stderr


def test_debians_own_interpreter_gets_its_headers_and_venv_from_packages_of_its_version(machine: Machine) -> None:
    machine.compiler()
    machine.add("python3", 'case "$*" in *Python.h*|*ensurepip*) exit 1 ;; *realpath*) echo python3.12 ;; esac')
    assert "--no-install-recommends python3.12-dev python3.12-venv\n" in machine.run("build").stderr


@pytest.mark.parametrize("purposes", [(), ("tests",), ("build", "tests")])
def test_a_purpose_that_is_unknown_or_not_given_is_an_error_that_lists_them(
    machine: Machine, purposes: tuple[str, ...]
) -> None:
    ended = machine.run(*purposes)
    assert ended.returncode == 2
    assert "build test soak bench" in ended.stderr
