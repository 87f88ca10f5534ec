"""The life of a server: listen, accept in a green thread, hand each connection to a handler, stop.

A green thread of the server's own calls `do_read()`, which blocks until something has come, as stock sockets do for
green threads. So a server is a plain accept loop, and what gevent's servers do in callbacks of the hub is done there:

* A pool that is full holds the loop, and with it whatever has not been accepted.
* An error of accepting or of starting a handler is reported to the hub, and the loop waits: `min_delay` seconds, twice
  as long after each further error, `max_delay` at most. An error that cannot pass (a socket that was closed) ends it.

The interface is that of gevent's documentation of `gevent.baseserver`.
"""

from __future__ import annotations

import contextlib
import errno
import socket as stdlib_socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from gossamer import _core
from gossamer._server.address import parse_address

if TYPE_CHECKING:
    from types import TracebackType

Handler = Callable[..., object]


class BaseServer:
    """What servers have in common.

    listener: an address (`gossamer._server.address`) or a socket that is bound, and listening if it has connections.
    handle: called with what `do_read()` returns, for each connection or datagram; a subclass may have a method instead.
    spawn: `"default"` or `"raw"` runs each handler in a green thread of its own; a number in a pool of so many; an
        object with a method `spawn`, as pools have, in that; a callable is called with the handler and its arguments;
        None runs handlers in the green thread that accepts, one after the other.

    Raises ValueError for an address that makes no sense, TypeError for a `spawn` or `handle` that cannot be called.
    """

    min_delay = 0.01
    """Seconds to wait after a first error of accepting."""
    max_delay = 1.0
    """Seconds to wait at most."""
    max_accept = 100
    """How many are accepted before others get a turn."""
    stop_timeout: float | None = 1.0
    """Seconds that `stop()` gives running handlers of a pool."""
    fatal_errors = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)
    """Errors of accepting that end the server."""

    handle: Handler | None = None
    socket: Any
    address: Any
    family: stdlib_socket.AddressFamily | int

    def __init__(self, listener: Any, handle: Handler | None = None, spawn: Any = "default") -> None:
        self._accepting: _core.GreenThread | None = None
        self._waiting_for_stop = _core.WaitQueue(self)
        self._started = False
        self.delay = self.min_delay
        self.pool: Any = None
        self.set_listener(listener)
        self.set_spawn(spawn)
        self.set_handle(handle)

    # ---- what it is made of

    def set_listener(self, listener: Any) -> None:
        """Take `listener`, an address or a bound socket. Raises ValueError for an address that makes no sense."""
        if hasattr(listener, "accept") or hasattr(listener, "recvfrom"):
            self.family, self.address, self.socket = listener.family, listener.getsockname(), listener
        else:
            self.family, self.address = parse_address(listener)

    def set_spawn(self, spawn: Any) -> None:
        """Say how handlers are run: `spawn` as of the class. Raises TypeError for what it cannot be."""
        self.pool = None
        if spawn in ("default", "raw"):
            self._spawn: Callable[..., object] | None = _core.spawn
        elif spawn is None:
            self._spawn = None
        elif isinstance(spawn, int) and not isinstance(spawn, bool):
            from gossamer._sync.pool import Pool

            self.set_spawn(Pool(spawn))
        elif hasattr(spawn, "spawn"):
            self.pool, self._spawn = spawn, spawn.spawn
        elif callable(spawn):
            self._spawn = spawn
        else:
            raise TypeError(
                f"spawn is {spawn!r}, and can only be 'default', 'raw', a number, a pool, a function or None"
            )

    def set_handle(self, handle: Handler | None) -> None:
        """Say what is called for each connection or datagram.

        handle: that function; None leaves it to a method of the subclass.
        Raises TypeError if it cannot be called.
        """
        if handle is not None and not callable(handle):
            raise TypeError(f"the handler is {handle!r}, which cannot be called")
        if handle is not None:
            self.handle = handle

    # ---- running

    def start(self) -> None:
        """Listen and accept. Does nothing if it has been started.

        Raises TypeError if it has no handler, OSError if it cannot listen there.
        """
        if self._started:
            return
        if self.handle is None:
            raise TypeError(f"{type(self).__name__} has no handler: give it one, or a subclass a method `handle`")
        self.init_socket()
        self._started = True
        try:
            self.start_accepting()
        except BaseException:
            self.close()
            raise

    def init_socket(self) -> None:
        """Make the socket, if it was given an address. For subclasses."""

    def start_accepting(self) -> None:
        """Begin to accept, or go on after `stop_accepting()`."""
        if self._accepting is None and self._started:
            self._accepting = _core.spawn(self._accept)

    def stop_accepting(self) -> None:
        """Let what comes wait in the socket's queue."""
        accepting, self._accepting = self._accepting, None
        if accepting is not None and accepting is not _core.getcurrent():
            _core.interrupt(accepting, _core.GreenletExit())

    def close(self) -> None:
        """Stop accepting and close the socket. Handlers that run are left alone."""
        self._started = False
        self.stop_accepting()
        listener = self.__dict__.pop("socket", None)
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.close()
        self._waiting_for_stop.unpark(len(self._waiting_for_stop))

    def stop(self, timeout: float | None = None) -> None:
        """Close it, and end what runs in its pool.

        timeout: seconds that the pool's handlers get before they are killed; None: `stop_timeout`.
        """
        self.close()
        if self.pool is not None:
            self.pool.join(timeout=self.stop_timeout if timeout is None else timeout)
            self.pool.kill(block=True, timeout=1)

    def serve_forever(self, stop_timeout: float | None = None) -> None:
        """Start it, unless it runs, and wait until somebody stops it. It is stopped as well if the wait is ended.

        stop_timeout: what `stop` gets then.
        Raises OSError if it cannot listen there.
        """
        self.start()
        try:
            while self._started:
                self._waiting_for_stop.park()
        finally:
            _core.spawn(self.stop, stop_timeout).join()

    def __enter__(self) -> Self:
        """The server itself; not started by that."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    # ---- accepting

    def do_read(self) -> tuple[Any, ...] | None:
        """Wait for something and return the handler's arguments; None if there is nothing after all.

        Raises NotImplementedError here: it is the subclass's.
        """
        raise NotImplementedError(f"{type(self).__name__} has no do_read()")

    def do_handle(self, *args: Any) -> None:
        """Run the handler for what `do_read()` returned, as `spawn` says."""
        if self._spawn is None:
            self._handle_and_close(*args)
        else:
            self._spawn(self._handle_and_close, *args)

    def do_close(self, *args: Any) -> None:
        """Release what `do_read()` returned, when its handler has returned or could not be run."""

    def full(self) -> bool:
        """Whether its pool is full."""
        return self.pool is not None and bool(self.pool.full())

    def is_fatal_error(self, error: BaseException) -> bool:
        """Whether accepting has no future after this error."""
        return isinstance(error, OSError) and error.errno in self.fatal_errors

    def _handle_and_close(self, *args: Any) -> None:
        handle = self.handle
        try:
            if handle is not None:
                handle(*args)
        finally:
            self.do_close(*args)

    def _accept(self) -> None:
        """The loop of the green thread that accepts."""
        accepted = 0
        while self._accepting is _core.getcurrent():
            try:
                if self.pool is not None:
                    self.pool.wait_available()
                self._accept_one()
            except Exception as error:  # noqa: BLE001 - whatever it is, a server goes on, or says why not
                if not self._goes_on_after(error):
                    return
            accepted += 1
            if accepted >= self.max_accept:
                accepted = 0
                _core.sleep(0)

    def _accept_one(self) -> None:
        args = self.do_read()
        if args is None:
            return
        self.delay = self.min_delay
        try:
            self.do_handle(*args)
        except BaseException:
            if self._spawn is not None:
                self.do_close(*args)
            raise

    def _goes_on_after(self, error: Exception) -> bool:
        """Report the error and wait, unless the server was closed or can only be closed now."""
        if not self._started:
            return False
        _core.get_hub().handle_error(self, *_details(error))
        if self.is_fatal_error(error):
            self.close()
            return False
        _core.sleep(self.delay)
        self.delay = min(self.max_delay, self.delay * 2)
        return True

    # ---- what it is

    @property
    def started(self) -> bool:
        """Whether it has been started, and not stopped."""
        return self._started

    @property
    def closed(self) -> bool:
        """Whether it has no socket: it was closed, or was given an address and not started yet."""
        return "socket" not in self.__dict__

    @property
    def server_host(self) -> str | None:
        """The host that it listens on; None for a Unix socket."""
        return self.address[0] if isinstance(self.address, tuple) else None

    @property
    def server_port(self) -> int | None:
        """The port that it listens on; None for a Unix socket."""
        return self.address[1] if isinstance(self.address, tuple) else None

    def __repr__(self) -> str:
        state = "started" if self._started else "stopped"
        return f"<{type(self).__name__} {state} on {self.address!r}, handler {self._name_of_handler()}>"

    def _name_of_handler(self) -> str:
        """A method of the server's own would be shown with the server, and so for ever."""
        if getattr(self.handle, "__self__", None) is self:
            return f"<its method {getattr(self.handle, '__qualname__', 'handle')}>"
        return repr(self.handle)


def _details(error: Exception) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    kind, value, traceback = sys.exc_info()
    return (kind, value, traceback) if kind is not None and value is not None else (type(error), error, None)
