"""Stream sockets: recv, recv_into, send, sendall park the green thread that calls them, and no other."""

import socket
from collections.abc import Iterator

import pytest

from gossamer import _core
from gossamer._core import get_hub, interrupt, sleep, spawn
from tests.support.children import output_of
from tests.support.runtime import joined, turns, until
from tests.support.scale import scaled

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(autouse=True)
def _points() -> None:
    get_hub()


def tcp_pair() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


@pytest.fixture(params=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    left, right = socket.socketpair() if request.param == "unix" else tcp_pair()
    with left, right:
        yield left, right


def test_the_points_of_the_module_are_all_installed_on_this_python() -> None:
    names = {name for name, group, _, on in _core.points() if group == "socket" and on}
    methods = "recv recv_into recvfrom recvfrom_into recvmsg recvmsg_into send sendall sendto sendmsg".split()
    methods += ["_accept", "connect", "connect_ex", "close", "detach"]
    assert {f"_socket.socket.{name}" for name in methods} <= names
    assert {"_socket.socketpair", "posix.sendfile", "posix.close", "posix.closerange", "posix.dup2"} <= names


def test_one_that_receives_waits_while_others_go_on(pair: Pair) -> None:
    left, right = pair
    reader = spawn(right.recv, 100)
    turns()
    assert not reader.ready()
    left.sendall(b"late")
    assert joined(reader) == [b"late"]


def test_what_is_there_is_received_at_once(pair: Pair) -> None:
    left, right = pair
    left.sendall(b"abcdef")
    until(lambda: len(right.recv(100, socket.MSG_PEEK)) == 6)
    assert [right.recv(2), right.recv(2), right.recv(100)] == [b"ab", b"cd", b"ef"]


def test_an_echo_of_many_messages_keeps_each_in_order(pair: Pair) -> None:
    left, right = pair

    def echo() -> None:
        while data := right.recv(4096):
            right.sendall(data)

    def ask() -> list[bytes]:
        answers = []
        for number in range(200):
            left.sendall(b"%03d" % number * (1 + number % 7))
            answers.append(left.recv(4096))
        left.shutdown(socket.SHUT_WR)
        return answers

    answers = joined(spawn(ask), spawn(echo))[0]
    assert answers == [b"%03d" % number * (1 + number % 7) for number in range(200)]


def test_messages_as_long_as_was_asked_for_lose_nothing(pair: Pair) -> None:
    left, right = pair

    def send() -> None:
        for number in range(100):
            left.sendall(b"%064d" % number)
            if number % 3 == 0:
                sleep(0)
        left.shutdown(socket.SHUT_WR)

    def receive() -> bytes:
        data = b""
        while part := right.recv(64):
            data += part
        return data

    assert joined(spawn(receive), spawn(send))[0] == b"".join(b"%064d" % number for number in range(100))


def test_the_end_of_the_stream_wakes_one_that_waits(pair: Pair) -> None:
    left, right = pair
    reader = spawn(right.recv, 100)
    turns()
    left.shutdown(socket.SHUT_WR)
    assert joined(reader) == [b""]


@pytest.mark.parametrize("pause", [0, 1, 2, 3])
def test_the_end_of_the_stream_that_comes_with_the_last_bytes_is_found_after_them(pair: Pair, pause: int) -> None:
    left, right = pair

    def receive() -> list[bytes]:
        parts = [right.recv(100)]
        turns(pause)
        while parts[-1]:
            parts.append(right.recv(100))
        return parts

    reader = spawn(receive)
    turns()
    left.sendall(b"last")
    left.shutdown(socket.SHUT_WR)
    assert joined(reader) == [[b"last", b""]]


def test_a_half_closed_stream_still_carries_the_other_direction(pair: Pair) -> None:
    left, right = pair
    left.shutdown(socket.SHUT_WR)

    def answer() -> None:
        assert right.recv(10) == b""
        right.sendall(b"answer")
        right.shutdown(socket.SHUT_WR)

    assert joined(spawn(left.recv, 100), spawn(answer))[0] == b"answer"
    assert left.recv(10) == b""


def test_sendall_of_much_waits_for_a_slow_reader_without_holding_up_others(pair: Pair) -> None:
    left, right = pair
    size = scaled(8_000_000, least=2_000_000)
    sender = spawn(left.sendall, memoryview(bytearray(size)))
    turns()
    assert not sender.ready()

    def drain() -> int:
        total = 0
        while total < size:
            total += len(right.recv(300_000))
        return total

    assert joined(spawn(drain), sender) == [size, None]


def test_send_on_a_blocking_stream_sends_all_as_the_kernel_does(pair: Pair) -> None:
    left, right = pair
    size = 3_000_000
    sender = spawn(left.send, bytes(size))
    received = 0
    while received < size:
        received += len(right.recv(65536))
    assert joined(sender) == [size]


def test_send_with_a_timeout_sends_what_fits(pair: Pair) -> None:
    left, _ = pair
    left.settimeout(20)
    assert 0 < left.send(bytes(30_000_000)) < 30_000_000


def test_recv_into_fills_the_buffer_given_and_says_how_much(pair: Pair) -> None:
    left, right = pair
    buffer = bytearray(b"." * 8)
    reader = spawn(right.recv_into, buffer)
    turns()
    left.sendall(b"abc")
    assert joined(reader) == [3]
    assert buffer == b"abc....."
    left.sendall(b"defghi")
    until(lambda: len(right.recv(100, socket.MSG_PEEK)) == 6)
    assert right.recv_into(memoryview(buffer)[4:], 2) == 2
    assert right.recv_into(buffer, nbytes=1) == 1
    assert right.recv_into(buffer=buffer, flags=socket.MSG_PEEK) == 3
    assert buffer == b"ghi.de.."
    assert right.recv_into(buffer, 0, 0) == 3


def test_much_more_than_the_receive_buffer_can_be_asked_for(pair: Pair) -> None:
    left, right = pair
    sender = spawn(left.sendall, bytes(1_000_000))
    received = 0
    while received < 1_000_000:
        received += len(right.recv(10_000_000))
    joined(sender)


def test_waitall_waits_for_everything(pair: Pair) -> None:
    left, right = pair
    readers = [spawn(right.recv, 6, socket.MSG_WAITALL)]
    for part in (b"ab", b"cd", b"ef"):
        turns()
        assert not readers[0].ready()
        left.sendall(part)
    assert joined(*readers) == [b"abcdef"]
    buffer = bytearray(4)
    peeker = spawn(right.recv, 4, socket.MSG_WAITALL | socket.MSG_PEEK)
    left.sendall(b"12")
    sleep(0.005)
    assert not peeker.ready()
    left.sendall(b"34")
    assert joined(peeker) == [b"1234"]
    reader = spawn(right.recv_into, buffer, 4, socket.MSG_WAITALL)
    assert joined(reader) == [4]
    left.sendall(b"xy")
    left.shutdown(socket.SHUT_WR)
    assert right.recv(4, socket.MSG_WAITALL | socket.MSG_PEEK) == b"xy"
    assert right.recv(4, socket.MSG_WAITALL) == b"xy"


def test_descriptors_passed_along_do_not_hide_what_follows_them() -> None:
    left, right = socket.socketpair()
    with left, right, socket.socket() as passed:
        reader = spawn(right.recv, 100)
        turns()
        left.sendall(b"a")
        assert joined(reader) == [b"a"]
        socket.send_fds(left, [b"with"], [passed.fileno()])
        left.sendall(b"after")
        parts = [right.recv(100)]
        while b"".join(parts) != b"withafter":
            parts.append(right.recv(100))


def test_urgent_data_does_not_hide_what_follows_it() -> None:
    left, right = tcp_pair()
    with left, right:
        reader = spawn(right.recv, 100)
        turns()
        left.sendall(b"a")
        assert joined(reader) == [b"a"]
        left.sendall(b"before")
        left.send(b"!", socket.MSG_OOB)
        left.sendall(b"after")
        data = b""
        while data != b"beforeafter":
            data += right.recv(100)


def test_several_that_read_one_stream_each_get_a_part_of_it(pair: Pair) -> None:
    left, right = pair
    readers = [spawn(right.recv, 1) for _ in range(20)]
    turns()
    left.sendall(b"abcdefghij")
    until(lambda: sum(reader.ready() for reader in readers) == 10)
    left.sendall(b"klmnopqrst")
    assert sorted(joined(*readers)) == [b"%c" % letter for letter in b"abcdefghijklmnopqrst"]


def test_one_reader_that_is_interrupted_leaves_what_came_to_the_next(pair: Pair) -> None:
    left, right = pair
    first, second = spawn(right.recv, 10), spawn(right.recv, 10)
    turns()
    left.sendall(b"data")

    def stop() -> None:
        interrupt(first, KeyError("stop"))

    get_hub().run_callback(stop)
    until(lambda: first.ready() and (second.ready() or first.value is not None))
    if first.value is None:
        assert isinstance(first.exception, KeyError)
        assert joined(second) == [b"data"]
    else:
        left.sendall(b"more")
        joined(second)


def test_several_that_write_one_stream_all_come_to_their_end(pair: Pair) -> None:
    left, right = pair
    size = 1_000_000
    writers = [spawn(left.sendall, b"%c" % (65 + number) * size) for number in range(4)]
    received = bytearray()
    while len(received) < 4 * size:
        received += right.recv(100_000)
    joined(*writers)
    assert {received.count(65 + number) for number in range(4)} == {size}


def test_a_socket_that_reads_and_writes_at_once_does_both(pair: Pair) -> None:
    size = 2_000_000

    def receive(it: socket.socket) -> int:
        total = 0
        while total < size:
            total += len(it.recv(65536))
        return total

    threads = [spawn(it.sendall, bytes(size)) for it in pair] + [spawn(receive, it) for it in pair]
    assert joined(*threads)[2:] == [size, size]


def test_nothing_asked_for_is_nothing_received(pair: Pair) -> None:
    assert pair[0].recv(0) == b""
    assert pair[0].recv_into(bytearray()) == 0
    assert pair[0].send(b"") == 0
    assert pair[0].sendall(b"") is None


def test_whatever_has_a_buffer_can_be_sent(pair: Pair) -> None:
    left, right = pair
    for data in (b"bytes", bytearray(b"array"), memoryview(b"--view--")[2:6]):
        left.sendall(data)
        assert right.recv(100) == bytes(data)
        assert left.send(data) == len(data)
        assert right.recv(100) == bytes(data)


class Number:
    def __index__(self) -> int:
        return 3


def test_numbers_may_be_whatever_has_an_index(pair: Pair) -> None:
    left, right = pair
    left.sendall(b"abcdef", 0)
    assert right.recv(Number(), False) == b"abc"  # type: ignore[arg-type]
    assert right.recv(True) == b"d"
    left.send(b"g", False)
    assert right.recv(10) == b"efg"


def test_waiting_on_the_hub_greenlet_is_refused(pair: Pair) -> None:
    errors: list[BaseException] = []

    def callback() -> None:
        try:
            pair[0].recv(1)
        except BaseException as error:
            errors.append(error)

    get_hub().run_callback(callback)
    turns()
    assert [type(error) for error in errors] == [_core.BlockingSwitchOutError]
    pair[1].sendall(b"x")
    assert pair[0].recv(1) == b"x"


def test_a_reference_taken_before_and_a_hot_call_site_and_an_old_socket_park_too() -> None:
    out = output_of(
        """
        import socket
        from _socket import socket as base
        recv, sendall, pair = base.recv, socket.socket.sendall, socket.socketpair()
        def receive(it): return it.recv(10)
        for _ in range(10000):
            pair[0].send(b"x")
            receive(pair[1])
        bound = pair[1].recv
        from gossamer._core import get_hub, sleep, spawn
        readers = [spawn(receive, pair[1]), spawn(recv, pair[1], 10), spawn(bound, 10)]
        for reader in readers:
            sleep(0)
            sendall(pair[0], b"parked")
            reader.join()
            assert reader.value == b"parked", reader.exception
        print("all")
        """
    )
    assert out == "all\n"


def test_points_that_are_switched_off_block_as_ever() -> None:
    out = output_of(
        """
        import socket
        from gossamer import _core
        _core.get_hub()
        left, right = socket.socketpair()
        order = []
        assert _core.points_switch("socket", False) > 0
        other = _core.spawn(order.append, "other")
        right.settimeout(0.05)
        try:
            right.recv(1)
        except TimeoutError:
            order.append("timeout")
        assert _core.points_switch("socket", True) > 0
        other.join()
        print(order)
        """
    )
    assert out == "['timeout', 'other']\n"


def test_everybody_waiting_for_a_descriptor_only_is_no_deadlock(pair: Pair) -> None:
    left, right = pair
    reader = spawn(right.recv, 1)
    get_hub().call_later(0.01, left.send, b"x")
    assert joined(reader) == [b"x"]


def test_a_subclass_of_the_base_type_parks(pair: Pair) -> None:
    class Own(socket.socket):
        pass

    left, right = pair
    with Own(fileno=right.detach()) as own:
        reader = spawn(own.recv, 10)
        turns()
        left.sendall(b"own")
        assert joined(reader) == [b"own"]


def test_names_and_documentation_stay() -> None:
    assert socket.socket.recv.__name__ == "recv"
    assert (socket.socket.recv.__doc__ or "").startswith("recv(buffersize[, flags])")
