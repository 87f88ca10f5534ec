"""DatagramServer: a handler for each datagram, and answers from the server's own socket."""

import socket

from gossamer.server import DatagramServer


def test_each_datagram_is_handled_and_can_be_answered() -> None:
    def handle(data: bytes, address: object) -> None:
        server.sendto(data.upper(), address)

    server = DatagramServer(("127.0.0.1", 0), handle)
    with server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        server.start()
        client.settimeout(30)
        for text in (b"one", b"two"):
            client.sendto(text, server.address)
            assert client.recvfrom(100) == (text.upper(), server.address)
    assert server.closed


def test_a_socket_that_is_bound_is_used() -> None:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", 0))
    with DatagramServer(bound, print) as server:
        server.start()
        assert server.socket is bound
        assert server.server_port == bound.getsockname()[1]
