"""`gossamer run`: a Python program on Gossamer.

Everything after the program's name belongs to the program, also what looks like an option of ours.
"""

import argparse
from collections.abc import Sequence

from gossamer.cli._output import complain
from gossamer.cli._program import ProgramError, run_module, run_script

CANNOT_START = 2
"""Exit status if the program cannot be started."""


def main(arguments: Sequence[str]) -> int:
    """Run the program that `arguments` name, and return 0 if it comes to its end.

    Returns 2, after one line on the standard error, if the program cannot be started. Raises what the program
    raises, SystemExit for one that exits, so that the interpreter ends the process as it ends any other.
    """
    options = _parser().parse_args(arguments)
    run = run_module if options.module else run_script
    try:
        if not options.program:
            raise ProgramError("name a SCRIPT to run, or -m MODULE (see gossamer run --help)")
        prepare(as_gevent=options.as_gevent)
        run(options.program[0], options.program[1:])
    except ProgramError as error:
        complain(f"gossamer run: {error}")
        return CANNOT_START
    return 0


def prepare(*, as_gevent: bool) -> None:
    """Make the process what the program is to find, before anything of the program runs.

    Blocking points are on as soon as there is a hub; from here on `threading.Thread` starts green threads. The hub is
    monitored if the environment asks for it.

    as_gevent: serve `greenlet` and `gevent` from Gossamer, in child processes too.
    Raises ProgramError if that is not possible any more, if the system does not allow it, or if the environment says
    something that means nothing.
    """
    if as_gevent:
        from gossamer import compat

        try:
            compat.install()
        except compat.AliasError as error:
            raise ProgramError(str(error)) from error
    from gossamer import _core
    from gossamer._sync.monitored import make_hub

    try:
        make_hub()
        _core.points_switch("green-threads", True)
    except ValueError as error:
        raise ProgramError(str(error)) from error
    except OSError as error:  # no descriptor is left, as a rule
        raise ProgramError(f"the process cannot be made ready: {error.strerror}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gossamer run",
        usage="gossamer run [-h] [--as-gevent] (SCRIPT | -m MODULE) [ARGUMENT ...]",
        description="Run a Python program as 'python SCRIPT' or 'python -m MODULE' would, on Gossamer.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--as-gevent",
        action="store_true",
        help="let Gossamer answer 'import greenlet' and 'import gevent', in child processes too",
    )
    # A flag, not an option with a value: argparse would look for more of our options behind that.
    parser.add_argument("-m", dest="module", action="store_true", help="run the module of that name, not a file")
    parser.add_argument(
        "program",
        nargs=argparse.REMAINDER,
        metavar="SCRIPT",
        help="a Python file, or a folder or zip file with a __main__.py; all that follows belongs to the program",
    )
    return parser
