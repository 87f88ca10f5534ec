"""Families that wait for sockets: the calls of `socket`, TLS, and those that ask for readiness."""

from __future__ import annotations

import os
from typing import Any

from tests.points.proof_family import Family


class Receive(Family):
    def __init__(self) -> None:
        from socket import socketpair

        self.pair = socketpair()
        self.recv, self.send = self.pair[0].recv, self.pair[1].send

    def wait(self) -> None:
        assert self.recv(10) == b"x"

    def wake(self) -> None:
        self.send(b"x")


class ReceiveInto(Receive):
    def wait(self) -> None:
        room = bytearray(10)
        assert self.pair[0].recv_into(room) == 1


class ReceiveWithTimeout(Receive):
    def __init__(self) -> None:
        super().__init__()
        self.pair[0].settimeout(600)


class ReceiveDatagram(Family):
    def __init__(self) -> None:
        import socket

        self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.bind(("127.0.0.1", 0))
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.address = self.receiver.getsockname()

    def wait(self) -> None:
        assert self.receiver.recvfrom(10)[0] == b"x"

    def wake(self) -> None:
        self.sender.sendto(b"x", self.address)


class SendAll(Family):
    size = 2_000_000

    def __init__(self) -> None:
        from socket import socketpair

        self.pair = socketpair()
        self.data = b"x" * self.size

    def wait(self) -> None:
        self.pair[0].sendall(self.data)

    def wake(self) -> None:
        left = self.size
        while left:
            left -= len(self.pair[1].recv(left))

    def heat(self) -> None:
        self.data = b"y"
        self.wait()
        self.pair[1].recv(1)
        self.data = b"x" * self.size


class Accept(Family):
    def __init__(self) -> None:
        from socket import create_connection, create_server

        self.listener = create_server(("127.0.0.1", 0))
        self.connect = create_connection
        self.clients: list[Any] = []

    def wait(self) -> None:
        self.listener.accept()[0].close()

    def wake(self) -> None:
        self.connect(self.listener.getsockname()).close()


class Tls(Family):
    """Contexts, and sockets that are wrapped already."""

    def __init__(self) -> None:
        import socket
        import ssl

        folder = os.environ["PROOF_CERTIFICATES"]
        self.for_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.for_server.load_cert_chain(f"{folder}/server.pem")
        self.for_client = ssl.create_default_context(cafile=f"{folder}/authority.pem")
        left, right = socket.socketpair()
        self.client = self.for_client.wrap_socket(left, server_hostname="localhost", do_handshake_on_connect=False)
        self.server = self.for_server.wrap_socket(right, server_side=True, do_handshake_on_connect=False)
        self.shake_hands()

    def shake_hands(self) -> None:
        import ssl

        ends = [self.client, self.server]
        for end in ends:
            end.settimeout(0)
        while ends:
            for end in list(ends):
                try:
                    end.do_handshake()
                    ends.remove(end)
                except ssl.SSLWantReadError:
                    pass
        self.client.settimeout(None)
        self.server.settimeout(None)


class TlsRead(Tls):
    def wait(self) -> None:
        assert self.server.recv(10) == b"x"

    def wake(self) -> None:
        self.client.sendall(b"x")


class TlsHandshake(Tls):
    rounds = 0

    def __init__(self) -> None:
        import socket

        super().__init__()
        self.left, self.right = socket.socketpair()

    def wait(self) -> None:
        self.for_server.wrap_socket(self.right, server_side=True).close()

    def wake(self) -> None:
        self.for_client.wrap_socket(self.left, server_hostname="localhost").close()


class Select(Receive):
    def __init__(self) -> None:
        from select import select

        super().__init__()
        self.select = select

    def wait(self) -> None:
        assert self.select([self.pair[0]], [], [])[0] == [self.pair[0]]
        self.recv(10)


class Poll(Receive):
    def __init__(self) -> None:
        import select

        super().__init__()
        self.object: Any = select.poll()
        self.object.register(self.pair[0], select.POLLIN)

    def wait(self) -> None:
        assert [number for number, _ in self.object.poll()] == [self.pair[0].fileno()]
        self.recv(10)


class Epoll(Poll):
    def __init__(self) -> None:
        import select

        super().__init__()
        self.object = select.epoll()
        self.object.register(self.pair[0], select.EPOLLIN)


class Selector(Receive):
    def __init__(self) -> None:
        import selectors

        super().__init__()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.pair[0], selectors.EVENT_READ)

    def wait(self) -> None:
        assert len(self.selector.select()) == 1
        self.recv(10)


FAMILIES = (
    Receive, ReceiveInto, ReceiveWithTimeout, ReceiveDatagram, SendAll, Accept, TlsRead, TlsHandshake, Select, Poll,
    Epoll, Selector,
)  # fmt: skip
