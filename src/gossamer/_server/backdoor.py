"""A server whose connections are interactive consoles inside the running program. As gevent's `gevent.backdoor`.

What a console's code prints goes to its connection, and what it reads comes from there: while any console is open,
`sys.stdin`, `sys.stdout` and `sys.stderr` look whose green thread it is that asks. Green threads that the code starts
have the program's own.
"""

import builtins
import code
import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

from gossamer import _core
from gossamer._server.stream import StreamServer
from gossamer._sync.pool import Pool

__all__ = ["BackdoorServer"]

_consoles: WeakKeyDictionary[_core.greenlet, Any] = WeakKeyDictionary()


class _Shared:
    """A standard stream that is the connection for the green threads of consoles, and the program's for others."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._original = getattr(sys, name)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(_consoles.get(_core.getcurrent(), self._original), attribute)

    def install(self) -> None:
        """Be the stream of that name."""
        setattr(sys, self._name, self)

    def remove(self) -> None:
        """Put the program's back, unless somebody has put another one there since."""
        if getattr(sys, self._name) is self:
            setattr(sys, self._name, self._original)


_shared: list[_Shared] = []


@contextlib.contextmanager
def _standard_streams(stream: Any) -> Any:
    """The calling green thread's standard streams are `stream` in the block."""
    if not _consoles:
        _shared[:] = [_Shared(name) for name in ("stdin", "stdout", "stderr")]
        for it in _shared:
            it.install()
    _consoles[_core.getcurrent()] = stream
    try:
        yield
    finally:
        del _consoles[_core.getcurrent()]
        if not _consoles:
            for it in _shared:
                it.remove()


class _Terminal:
    """The two directions of a connection as one text file. (A TextIOWrapper for both forgets input when it writes.)"""

    def __init__(self, connection: socket.socket) -> None:
        self._reader = connection.makefile("r", encoding="utf-8", errors="replace")
        self._writer = connection.makefile("w", encoding="utf-8", errors="replace")

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._reader if attribute.startswith("read") else self._writer, attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(self._reader)

    def close(self) -> None:
        """Close both."""
        self._reader.close()
        self._writer.close()


class _Console(code.InteractiveConsole):
    """A console on the two ends of a connection."""

    def __init__(self, stream: Any, local: dict[str, Any]) -> None:
        super().__init__(local)
        self._stream = stream

    def write(self, data: str) -> None:
        """Send a text."""
        self._stream.write(data)
        self._stream.flush()

    def showtraceback(self) -> None:
        """Tell of what the code has raised. A kill of the console itself is not for the code: it goes on."""
        error = sys.exception()
        if isinstance(error, _core.GreenletExit):
            raise error
        super().showtraceback()

    def raw_input(self, prompt: str = "") -> str:
        """Send the prompt and return the next line. Raises EOFError at the end of the connection."""
        self.write(prompt)
        line: str = self._stream.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")


class BackdoorServer(StreamServer):
    """Gives whoever connects a Python prompt in this process, without asking who it is: listen on loopback only.

    listener: an address, or a listening socket. locals: names that each prompt has to begin with. banner: a text that
    is sent first. server_args: as of StreamServer. When it stops, the consoles end.

    From gevent's documentation of gevent.backdoor.
    """

    def __init__(
        self,
        listener: Any,
        locals: dict[str, Any] | None = None,  # noqa: A002 - gevent's signature
        banner: str | None = None,
        **server_args: Any,
    ) -> None:
        server_args.setdefault("spawn", Pool())
        super().__init__(listener, **server_args)
        self.locals = {"__builtins__": builtins, "__doc__": None, "__name__": "__console__", **(locals or {})}
        self.banner = banner
        self.stop_timeout = 0

    def handle(self, connection: socket.socket, _address: Any = None) -> None:
        """Serve one console on the `connection`, until its user says quit() or leaves."""
        with (
            contextlib.suppress(OSError, SystemExit),
            contextlib.closing(_Terminal(connection)) as stream,
            _standard_streams(stream),
        ):
            _Console(stream, dict(self.locals)).interact(self.banner, exitmsg="")
