"""Certificates for TLS over loopback, and contexts and connections that use them.

The authority and the server's certificate (for "localhost" and 127.0.0.1) are made anew for each run, by trustme: its
cryptography cannot be built for every CPython, and where it is not installed the tests that ask for certificates skip.
"""

import contextlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest

from gossamer._core import spawn
from tests.support.runtime import joined

Pair = tuple[ssl.SSLSocket, ssl.SSLSocket]


@dataclass(frozen=True)
class Certificates:
    """Where the authority's certificate is, and the server's with its key, as PEM files."""

    authority: str
    server: str

    def for_client(self) -> ssl.SSLContext:
        """A context that trusts the authority, and no other, and checks the name."""
        return ssl.create_default_context(cafile=self.authority)

    def for_server(self) -> ssl.SSLContext:
        """A context with the server's certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.server)
        return context


def make_certificates(folder: Path) -> Certificates:
    """Make an authority and a server's certificate, and write them into `folder`."""
    trustme = pytest.importorskip("trustme", reason="certificates are made by trustme, which is not installed here")
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    paths = Certificates(str(folder / "authority.pem"), str(folder / "server.pem"))
    authority.cert_pem.write_to_path(paths.authority)
    server.private_key_and_cert_chain_pem.write_to_path(paths.server)
    return paths


def connected_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection over loopback, with room for some 100 kB that the kernel does not enlarge."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        client = stack.enter_context(socket.socket())
        for end in listener, client:
            for room in socket.SO_SNDBUF, socket.SO_RCVBUF:
                end.setsockopt(socket.SOL_SOCKET, room, 100_000)
        client.connect(listener.getsockname())
        ends = client, listener.accept()[0]
        stack.pop_all()
    for end in ends:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ends


def unshaken_pair(
    certificates: Certificates,
    *,
    client: ssl.SSLContext | None = None,
    server: ssl.SSLContext | None = None,
    timeout: float | None = None,
) -> Pair:
    """Client and server on one connection, wrapped, each before its handshake.

    timeout: of both, in seconds.
    """
    ends = connected_pair()
    for end in ends:
        end.settimeout(timeout)
    return (
        (client or certificates.for_client()).wrap_socket(
            ends[0], server_hostname="localhost", do_handshake_on_connect=False
        ),
        (server or certificates.for_server()).wrap_socket(ends[1], server_side=True, do_handshake_on_connect=False),
    )


def shake_hands(pair: Pair) -> None:
    """Do both handshakes, in two green threads."""
    threads = [spawn(end.do_handshake) for end in pair]
    joined(*threads)
    for thread in threads:
        if thread.exception is not None:
            raise thread.exception


def tls_pair(
    certificates: Certificates,
    *,
    client: ssl.SSLContext | None = None,
    server: ssl.SSLContext | None = None,
    timeout: float | None = None,
) -> Pair:
    """As `unshaken_pair`, after the handshake."""
    pair = unshaken_pair(certificates, client=client, server=server, timeout=timeout)
    shake_hands(pair)
    return pair
