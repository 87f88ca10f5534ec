"""A virtual environment that holds the package exactly as it is in the tree now.

    python tools/environment.py DIRECTORY [--group NAME]... [--setup-arg ARGUMENT]...

Run it with the interpreter that the environment is for. It makes the environment, installs the build requirements and
the named dependency groups of pyproject.toml, then builds and installs the package, with further `meson setup`
arguments if given. It does only what is not done yet, and takes a fraction of a second when nothing is.

What "done" means is decided by content, never by times alone, so that a change is never tested with a stale build:
a record in the environment holds a digest of each file that the build reads. The C build itself is incremental (ninja
compares times) unless a file changed and its time says that it is older than the build: then it starts afresh.
The installation is an ordinary one, not an editable one: what is tested is what a user gets, a file missing
from meson.build is noticed, and no test's child process finds a build going on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
# Several values for one build setting need pip 23.1; Debian 12's environments begin with 23.0.
PIP = "pip>=23.1"
# Warnings are errors here, and only here: see meson.build.
SETUP_ARGUMENTS = ["-Dwerror=true"]


class Unusable(Exception):
    """The environment cannot be made; the message says why and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Bring the environment up to date; returns the exit status."""
    options = parse(arguments)
    try:
        check_interpreter(sys.version_info[:2])
        Environment(options.directory.resolve()).update(options.group, SETUP_ARGUMENTS + options.setup_arg)
    except Unusable as problem:
        print(problem, file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as problem:
        # What went wrong has been printed by the command itself.
        print(f"failed with exit status {problem.returncode}: {' '.join(map(str, problem.cmd))}", file=sys.stderr)
        return 1
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make a virtual environment that holds the package as it is now.")
    parser.add_argument("directory", type=Path, help="where the environment is, or is to be")
    parser.add_argument("--group", action="append", default=[], help="a dependency group of pyproject.toml to install")
    parser.add_argument("--setup-arg", action="append", default=[], help="an argument for `meson setup`")
    return parser.parse_args(arguments)


def check_interpreter(version: tuple[int, ...]) -> None:
    """Raise Unusable when the interpreter is too old to be built for."""
    if version < OLDEST:
        raise Unusable(
            f"{sys.executable} is Python {'.'.join(map(str, version))}; Gossamer needs CPython 3.11 or newer. "
            "Name another interpreter: make PYTHON=/path/to/python3"
        )


class Environment:
    """One virtual environment and its record of what has been done to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.python = directory / "bin" / "python"
        self.build = directory / "build"
        self.record_file = directory / "gossamer.json"

    def update(self, groups: Iterable[str], setup_arguments: list[str]) -> None:
        """Do what is not done yet: environment, tools, package."""
        wanted = requirements(groups)
        self._step("made for", identity(), self._make)
        self._step("tools", wanted, lambda: self._install_tools(wanted))
        files = build_inputs(ROOT)
        package = {"setup": setup_arguments, "files": files}
        self._step("package", package, lambda: self._install_package(setup_arguments, files))

    def _step(self, name: str, state: Any, action: Callable[[], None]) -> None:
        """Run `action` unless the record says that it was carried out to its end for this same `state`."""
        if self._record().get(name) == state:
            return
        action()
        self._write({**self._record(), name: state})

    def _record(self) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(self.record_file.read_text())
        except (OSError, ValueError):
            return {}
        return record

    def _write(self, record: Mapping[str, Any]) -> None:
        unfinished = self.record_file.with_suffix(".new")
        unfinished.write_text(json.dumps(record, indent=1))
        unfinished.replace(self.record_file)

    def _make(self) -> None:
        if self.directory.exists() and not (self.directory / "pyvenv.cfg").exists():
            raise Unusable(f"{self.directory} is not a virtual environment: remove it or name another place")
        say(f"making {self.directory.name} for {sys.version.split()[0]}")
        shutil.rmtree(self.directory, ignore_errors=True)
        venv.create(self.directory, with_pip=True, symlinks=True)

    def _install_tools(self, wanted: list[str]) -> None:
        say(f"installing {', '.join(map(name_of, wanted))}")
        try:
            self._pip("install", "--upgrade", *wanted)
        except subprocess.CalledProcessError as problem:
            raise Unusable(
                "pip could not install them; what it printed says why. Without a network, have PIP_FIND_LINKS name a "
                "folder of packages (and PIP_NO_INDEX=1); behind a proxy, set HTTPS_PROXY"
            ) from problem

    def _install_package(self, setup_arguments: list[str], files: Mapping[str, str]) -> None:
        before = self._record().get("package", {})
        if before.get("setup") != setup_arguments or not self._ninja_sees(before.get("files", {}), files):
            shutil.rmtree(self.build, ignore_errors=True)
        say("building gossamer")
        settings = [f"build-dir={self.build}", *(f"setup-args={argument}" for argument in setup_arguments)]
        self._pip(
            "install",
            "--no-deps",
            "--no-build-isolation",
            "--force-reinstall",
            *(f"--config-settings={setting}" for setting in settings),
            str(ROOT),
        )

    def _ninja_sees(self, before: Mapping[str, str], now: Mapping[str, str]) -> bool:
        """True when every file that changed since the last build is newer than the end of that build."""
        if not self.record_file.exists():
            return False
        built = self.record_file.stat().st_mtime
        changed = (name for name, digest in now.items() if before.get(name) != digest)
        return all((ROOT / name).stat().st_mtime > built for name in changed)

    def _pip(self, command: str, *arguments: str) -> None:
        path = f"{self.python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        subprocess.run(
            [self.python, "-m", "pip", command, "--quiet", "--disable-pip-version-check", *arguments],
            check=True,
            cwd=ROOT,
            env={**os.environ, "PATH": path},
        )


def identity() -> dict[str, str]:
    """What an environment is bound to: the interpreter, and the place of the tree that its build folder refers to."""
    return {"interpreter": os.path.realpath(sys.executable), "version": sys.version, "tree": str(ROOT)}


def requirements(groups: Iterable[str]) -> list[str]:
    """pip, the build's and the package's own requirements, and those of the named dependency groups."""
    import tomllib  # not there before 3.11, and an older interpreter is to get a clear answer

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    known = project["dependency-groups"]
    wanted = [PIP, *project["build-system"]["requires"], *project["project"]["dependencies"]]
    for group in ["build", *groups]:
        if group not in known:
            raise Unusable(f"pyproject.toml has no dependency group {group!r}; it has: {', '.join(sorted(known))}")
        wanted += known[group]
    return wanted


def build_inputs(root: Path) -> dict[str, str]:
    """A digest of every file that building the package reads, by its path below `root`."""
    tops = [root / name for name in ("pyproject.toml", "meson.build", "meson.options", "LICENSE")]
    sources = (path for path in (root / "src").rglob("*") if path.suffix != ".pyc")
    files = (path for path in [*tops, *sources] if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def name_of(requirement: str) -> str:
    """The package's name at the start of a requirement."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def say(what: str) -> None:
    """One line of progress."""
    print(f"[environment] {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
