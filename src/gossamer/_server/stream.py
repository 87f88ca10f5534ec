"""A server for streams: TCP and Unix sockets, with TLS if asked for. As gevent's documentation of `gevent.server`."""

import contextlib
import socket
import ssl
from inspect import signature
from typing import Any, ClassVar

from gossamer._server.base import BaseServer, Handler

CONTEXT_ARGUMENTS = frozenset({"ca_certs", "cert_reqs", "certfile", "ciphers", "keyfile", "ssl_version"})
WRAP_ARGUMENTS = frozenset(signature(ssl.SSLContext.wrap_socket).parameters) - {"self", "sock"}


class StreamServer(BaseServer):
    """Accepts connections, and calls `handle(socket, address)` for each. The socket is closed when that returns.

    listener, handle, spawn: as of BaseServer.
    backlog: how many connections may wait to be accepted; None: the class's `backlog`. Not for a socket that was given.
    ssl_args: with any, connections are wrapped into TLS before they are handled: `ssl_context` and arguments of its
        `wrap_socket`, or `certfile`, `keyfile`, `ca_certs`, `cert_reqs`, `ciphers` to make a context from.

    Raises what BaseServer raises, TypeError for other arguments than these, and ssl.SSLError or OSError for files that
    cannot be loaded.
    """

    backlog = 1024
    handshake_timeout: float | None = 30.0
    """Seconds that a client has for the TLS handshake, before it is let go; None: no bound. gevent has none."""
    reuse_addr: ClassVar[int | None] = 1
    """What SO_REUSEADDR is set to before an address is bound; None: left as it is."""

    def __init__(
        self,
        listener: Any,
        handle: Handler | None = None,
        backlog: int | None = None,
        spawn: Any = "default",
        **ssl_args: Any,
    ) -> None:
        self._context: ssl.SSLContext | None = None
        if ssl_args:
            self._context, self._wrap_arguments = _tls(ssl_args)
        if backlog is not None:
            if hasattr(listener, "accept"):
                raise TypeError("backlog is only for an address: a socket that is given listens already")
            self.backlog = backlog
        super().__init__(listener, handle, spawn)

    @property
    def ssl_enabled(self) -> bool:
        """Whether connections are wrapped into TLS."""
        return self._context is not None

    @classmethod
    def get_listener(cls, address: Any, backlog: int | None = None, family: int | None = None) -> socket.socket:
        """A socket that listens on `address`. Raises OSError if there can be none.

        backlog: as of the class.
        family: such as socket.AF_INET6; None: what the address says.
        """
        listener = bound_socket(address, socket.SOCK_STREAM, family, reuse_addr=cls.reuse_addr)
        listener.listen(cls.backlog if backlog is None else backlog)
        return listener

    def init_socket(self) -> None:
        """Listen on the address, unless a socket was given."""
        if self.closed:
            self.socket = self.get_listener(self.address, self.backlog, self.family)
            self.address = self.socket.getsockname()

    def do_read(self) -> tuple[Any, ...] | None:
        """The next connection and its address; None if it has gone again."""
        try:
            connection, address = self.socket.accept()
        except (BlockingIOError, ConnectionAbortedError, TimeoutError):
            return None
        return connection, address

    def do_close(self, *args: Any) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            args[0].close()

    def _handle_and_close(self, *args: Any) -> None:
        if self._context is None:
            super()._handle_and_close(*args)
        else:
            self.wrap_socket_and_handle(*args)

    def wrap_socket_and_handle(self, client_socket: socket.socket, address: Any) -> None:
        """Shake hands on `client_socket`, of a client at `address`, and handle it.

        Who speaks no TLS, or is silent for longer than `handshake_timeout`, is let go.
        """
        assert self._context is not None
        arguments = {"server_side": True, **self._wrap_arguments}
        at_once = arguments.pop("do_handshake_on_connect", True)
        timeout = client_socket.gettimeout()
        wrapped = client_socket
        try:
            client_socket.settimeout(self.handshake_timeout)
            wrapped = tls = self._context.wrap_socket(client_socket, do_handshake_on_connect=False, **arguments)
            if at_once:
                tls.do_handshake()
            tls.settimeout(timeout)
        except OSError:
            self.do_close(wrapped)
            return
        except BaseException:  # a kill: who holds the socket now may hold it for long
            self.do_close(wrapped)
            raise
        super()._handle_and_close(wrapped, address)


def bound_socket(address: Any, kind: int, family: int | None, *, reuse_addr: int | None) -> socket.socket:
    """A socket bound to an address as `bind()` takes it. Raises OSError, with the address in its text."""
    family = socket.AF_INET if family is None else family
    made = socket.socket(family, kind)
    try:
        if reuse_addr is not None and family != socket.AF_UNIX:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse_addr)
        if family == socket.AF_INET6 and not address[0]:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind(address)
    except OSError as error:
        made.close()
        error.strerror = f"{error.strerror}: {address!r}"
        raise
    except BaseException:
        made.close()
        raise
    return made


def _tls(arguments: dict[str, Any]) -> tuple[ssl.SSLContext, dict[str, Any]]:
    """The context, and what is left of the arguments for its `wrap_socket`."""
    rest = dict(arguments)
    context = rest.pop("ssl_context", None)
    known = WRAP_ARGUMENTS if context is not None else WRAP_ARGUMENTS | CONTEXT_ARGUMENTS
    if unknown := rest.keys() - known:
        raise TypeError(f"there is no argument {min(unknown)!r}; those of TLS are, besides, {', '.join(sorted(known))}")
    if context is not None:
        return context, rest
    if rest.get("certfile") is None:
        raise TypeError("TLS needs an ssl_context, or a certfile to make one from")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(rest.pop("certfile"), rest.pop("keyfile", None))
    if (authorities := rest.pop("ca_certs", None)) is not None:
        context.load_verify_locations(authorities)
    if (requirement := rest.pop("cert_reqs", None)) is not None:
        context.verify_mode = requirement
    if (ciphers := rest.pop("ciphers", None)) is not None:
        context.set_ciphers(ciphers)
    rest.pop("ssl_version", None)
    return context, rest
