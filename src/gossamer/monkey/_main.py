"""`python -m gossamer.monkey [OPTION ...] SCRIPT [ARGUMENT ...]`: patch, then run a program.

Options are those of gevent: `--no-dns` leaves a patch out, `--sys` asks for one; `--module` takes the program for the
name of a module; `--verbose` says what is patched. The program is run as `gossamer run` runs it.
"""

# ruff: noqa: T201 - a program for the command line

import sys

from gossamer.monkey._patches import patch_all
from gossamer.monkey._state import PATCHES

USAGE = f"""\
usage: python -m gossamer.monkey [OPTION ...] SCRIPT [ARGUMENT ...]
Patch the standard library, then run a Python program.

options:
  --no-NAME    leave a patch out; NAME is one of {" ".join(sorted(PATCHES))}
  --NAME       patch it (all but sys are, unless left out)
  --module     SCRIPT is the name of a module
  --verbose    say what is patched
  --help       show this
"""


class _Words:
    """The command line, taken apart."""

    def __init__(self, words: list[str]) -> None:
        self.patches: dict[str, bool] = {}
        self.module = self.verbose = self.help = False
        self.unknown: str | None = None
        count = 0
        while count < len(words) and words[count].startswith("--"):
            self._take(words[count][2:])
            count += 1
        self.program = words[count:]

    def _take(self, option: str) -> None:
        name = option.removeprefix("no-")
        if option in {"module", "verbose", "help"}:
            setattr(self, option, True)
        elif name in PATCHES:
            self.patches[name] = name == option
        else:
            self.unknown = self.unknown or f"--{option}"


def main() -> None:
    """Patch as `sys.argv` asks and run the program that it names.

    Raises SystemExit: status 0 after `--help`, 2 after one line for words that make no sense; and what the program
    raises.
    """
    words = _Words(sys.argv[1:])
    if words.help:
        print(USAGE, end="")
        raise SystemExit(0)
    if words.unknown is not None:
        _refuse(f"there is no option {words.unknown}; see --help")
    if not words.program:
        _refuse("name a SCRIPT to run; see --help")
    if words.verbose:
        print(f"gossamer.monkey.patch_all({', '.join(f'{name}={on}' for name, on in words.patches.items())})")
    patch_all(**words.patches)
    _run(words.program, module=words.module)


def _run(program: list[str], *, module: bool) -> None:
    from gossamer.cli._program import ProgramError, run_module, run_script

    try:
        (run_module if module else run_script)(program[0], program[1:])
    except ProgramError as error:
        _refuse(str(error))


def _refuse(message: str) -> None:
    print(f"gossamer.monkey: {message}", file=sys.stderr)
    raise SystemExit(2)
