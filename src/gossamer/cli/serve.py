"""`gossamer serve`: a WSGI application on Gossamer's server.

The process is made ready before anything of the application is imported: blocking points and green threads are on, and
`import gevent` finds Gossamer. Signals: SIGTERM and SIGINT stop accepting, let what is under way finish within the
grace period, and end with status 0; a second one ends the rest at once.

The addresses are announced when whoever connects is answered, never before: scripts wait for that line.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from gossamer.cli._application import Application, ApplicationError, Target, load_application, parse_target
from gossamer.cli._listen import (
    BACKLOG,
    Address,
    ListenError,
    bind,
    bind_shared,
    cannot_listen,
    local_address,
    parse_addresses,
    reserve,
    socket_file,
)
from gossamer.cli._output import complain, finish, say
from gossamer.cli._program import ProgramError, current_folder
from gossamer.cli._workers import Links, Workers
from gossamer.cli.run import prepare

if TYPE_CHECKING:
    from gossamer.http.limits import Limits

CANNOT_START = 2
DEFAULT_ADDRESS = "127.0.0.1:8000"
GRACE = 30.0
"""Seconds that requests under way have to finish."""


def main(arguments: Sequence[str]) -> int:
    """Serve the application that `arguments` name until a signal ends it; returns the exit status.

    0 after SIGTERM or SIGINT; 2, after one line on the standard error, if it cannot start.
    """
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the server has handlers of its own
        return _main(arguments)
    except KeyboardInterrupt:  # it was stopped before it served
        return 0
    finally:
        finish()


def _main(arguments: Sequence[str]) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.limits = limits_from(options.limit)
    except ValueError as error:
        parser.error(f"argument --limit: {error}")
    try:
        target = parse_target(options.application)
        addresses = parse_addresses(options.bind or [DEFAULT_ADDRESS])
        if not sys.flags.safe_path:
            sys.path.insert(0, current_folder())
        raise_limit_of_open_files()
        if options.workers > 1:
            return serve_with_workers(options, target, addresses)
        return serve_alone(options, target, addresses)
    except (ApplicationError, ListenError, ProgramError) as error:
        return _cannot_start(error, verbose=options.verbose)


def limits_from(settings: Sequence[str]) -> Limits | None:
    """The limits that were given as NAME=VALUE. Raises ValueError that says what is wrong."""
    if not settings:
        return None
    from gossamer.http.limits import Limits

    values: dict[str, float | None] = {}
    for setting in settings:
        name, given, text = setting.partition("=")
        if name not in Limits.__dataclass_fields__:
            raise ValueError(f"there is no {name!r}, but {', '.join(Limits.__dataclass_fields__)}")
        if not given:
            raise ValueError(f"{name!r} is not NAME=VALUE, such as {name}=100 or {name}=none")
        try:
            values[name] = None if text == "none" else float(text) if "." in text else int(text)
        except ValueError:
            raise ValueError(f"{name} must be a number or 'none', not {text!r}") from None
    return Limits(**values)  # type: ignore[arg-type] # judged there


def raise_limit_of_open_files() -> None:
    """Raise the soft limit to the hard one: each connection is an open file."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):  # the system's own limit (fs.nr_open) may be lower
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve_alone(options: argparse.Namespace, target: Target, addresses: Sequence[Address]) -> int:
    """Serve in this process."""
    with contextlib.ExitStack() as held:
        listeners = [_hold(held, address, bind) for address in addresses]
        known = [local_address(listener) for listener in listeners]
        prepare(as_gevent=True)
        application = load_application(target)
        run_server(options, application, listeners, lambda: announce(known, options.application))
    return 0


def serve_with_workers(options: argparse.Namespace, target: Target, addresses: Sequence[Address]) -> int:
    """Serve in several processes. A TCP port is shared by SO_REUSEPORT, a Unix socket is inherited."""
    with contextlib.ExitStack() as held:
        reserved = [_hold(held, address, reserve if address.path is None else bind) for address in addresses]
        known = [local_address(listener) for listener in reserved]
        for listener in reserved:
            if listener.family == socket.AF_UNIX:
                listener.listen(BACKLOG)
        workers = Workers(
            options.workers,
            functools.partial(_work, options, target, reserved),
            started=lambda: announce(known, options.application, options.workers),
            patience=options.grace + 5.0,
        )
        return workers.run()


def _hold(held: contextlib.ExitStack, address: Address, bound: Callable[[Address], socket.socket]) -> socket.socket:
    """A listener at `address`, which `held` closes in the end, and whose file it takes away."""
    listener = held.enter_context(bound(address))
    held.enter_context(socket_file(address))
    return listener


def _work(options: argparse.Namespace, target: Target, reserved: Sequence[socket.socket], links: Links) -> int:
    """What each worker does."""
    try:
        prepare(as_gevent=True)
        application = load_application(target)
        with contextlib.ExitStack() as held:
            listeners = [held.enter_context(_own_listener(listener)) for listener in reserved]
            run_server(options, application, listeners, links.ready, links.lifeline)
    except (ApplicationError, ListenError, ProgramError) as error:
        return _cannot_start(error, verbose=options.verbose)
    return 0


def _own_listener(reserved: socket.socket) -> socket.socket:
    """A worker's own: of a TCP port another one, of a Unix socket the one that was bound."""
    if reserved.family == socket.AF_UNIX:
        return reserved
    listener = bind_shared(local_address(reserved))
    reserved.close()
    return listener


def run_server(
    options: argparse.Namespace,
    application: Application,
    listeners: Sequence[socket.socket],
    started: Callable[[], object],
    lifeline: int | None = None,
) -> None:
    """Serve until a signal, or the end of the parent of workers, ends it.

    started: called once whoever connects is answered.
    lifeline: a worker's; None: this process is the only one.
    Raises ListenError if somebody else has begun to listen there since one of the listeners was bound.
    """
    from gossamer import _core
    from gossamer.http.access_log import CombinedLog
    from gossamer.http.server import Server

    server = Server(
        application,
        listeners,
        access_log=CombinedLog() if options.access_log else None,
        timeout=options.timeout,
        limits=options.limits,
        multiprocess=lifeline is not None,
    )
    asked = 0

    def stop() -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            _core.spawn(server.stop, options.grace)
        elif lifeline is None:  # the parent of workers has no more patience then, and kills them
            _core.spawn(server.stop, 0)

    def on_signal(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's arguments
        stop()

    def watch_parent(lifeline: int) -> None:
        os.read(lifeline, 1)
        stop()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    try:
        server.start()
    except OSError as error:
        silent = [one for one in listeners if not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)]
        raise cannot_listen(error, local_address(silent[0])) from error
    if lifeline is not None:
        _core.spawn(watch_parent, lifeline)
    started()
    server.serve_forever()


def announce(addresses: Sequence[Address], application: str, workers: int = 1) -> None:
    """Tell where the server is."""
    where = ", ".join(address.url for address in addresses)
    processes = f" with {workers} workers" if workers > 1 else ""
    say(f"gossamer: serving {application} on {where}{processes} (Ctrl-C stops it)")


def _cannot_start(error: Exception, *, verbose: bool) -> int:
    if verbose and error.__cause__ is not None:
        complain("".join(traceback.format_exception(error.__cause__)).rstrip())
    hint = "" if verbose or error.__cause__ is None or isinstance(error, ListenError) else " (--verbose shows more)"
    complain(f"gossamer serve: {error}{hint}")
    return CANNOT_START


def _positive(kind: type[int | float], text: str) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = kind(0)
    if not 0 < value < float("inf"):
        number = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{text!r} is not {number} greater than 0")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gossamer serve",
        description="Serve a WSGI application; each connection has a green thread of its own.",
        allow_abbrev=False,
    )
    parser.add_argument("application", metavar="MODULE:APP", help="such as hello:app or shop.web:create_app()")
    parser.add_argument(
        "--bind",
        metavar="ADDRESS",
        action="append",
        default=[],
        help=f"HOST:PORT or unix:PATH ({DEFAULT_ADDRESS}); port 0 takes one that is free; can be given several times",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=functools.partial(_positive, int),
        default=1,
        help="processes that share the addresses (1)",
    )
    parser.add_argument("--access-log", action="store_true", help="a line for each response on the standard output")
    parser.add_argument(
        "--timeout",
        metavar="S",
        type=functools.partial(_positive, float),
        help="seconds that the application has for a request, then 503 (none: any time)",
    )
    parser.add_argument(
        "--grace",
        metavar="S",
        type=functools.partial(_positive, float),
        default=GRACE,
        help=f"seconds that requests under way have when the server is stopped ({GRACE:.0f})",
    )
    parser.add_argument(
        "--limit",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="what clients may ask for, in bytes or seconds, such as head=16384, body=1000000 or idle=none; can be "
        "given several times (help(gossamer.http.Limits) tells all)",
    )
    parser.add_argument("--verbose", action="store_true", help="show the traceback if the application cannot be loaded")
    return parser
