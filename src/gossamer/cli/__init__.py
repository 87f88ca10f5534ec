"""The `gossamer` command: it finds the subcommand, which does the rest.

A subcommand is a module of this package with the subcommand's name, and a function `main(arguments)` that returns the
exit status. Only the one asked for is imported: programs want as little as possible imported before them.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "run": "run a Python program",
    "serve": "serve a WSGI application",
}
"""Subcommand -> what the help says of it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    arguments: the words after the command's name; those of the process if None.
    Raises SystemExit if the words make no sense (status 2) or ask for help, and what the program that it runs raises.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.version:
        from importlib.metadata import version

        print(f"gossamer {version('gossamer')}")
        return 0
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    command = importlib.import_module(f"{__name__}.{options.command}")
    status: int = command.main(options.arguments)
    return status


def _parser() -> argparse.ArgumentParser:
    summaries = "\n".join(f"  {name:<8} {summary}" for name, summary in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="gossamer",
        usage="gossamer [-h] [--version] COMMAND ...",
        description="Gossamer: blocking-style Python with the concurrency of an event loop.",
        epilog=f"commands:\n{summaries}\n\n'gossamer COMMAND --help' tells more of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument("command", metavar="COMMAND", nargs="?", choices=COMMANDS, help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser
