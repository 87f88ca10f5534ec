"""The addresses that `gossamer serve` listens on."""

import socket
import time
from pathlib import Path

import pytest

from gossamer.cli._listen import (
    BACKLOG,
    Address,
    ListenError,
    bind,
    bind_shared,
    local_address,
    parse_address,
    parse_addresses,
    reserve,
    socket_file,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address(None, "127.0.0.1", 8080)),
        ("localhost", Address(None, "localhost", 8000)),
        (":9000", Address(None, "", 9000)),
        ("*:9000", Address(None, "", 9000)),
        ("[::1]:81", Address(None, "::1", 81)),
        ("[::1]", Address(None, "::1", 8000)),
        ("unix:/run/shop.sock", Address("/run/shop.sock", "", 0)),
        ("unix:shop.sock", Address("shop.sock", "", 0)),
    ],
)
def test_addresses_are_written_as_users_write_them(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("127.0.0.1:http", "'http' in '127.0.0.1:http' is not a port"),
        ("127.0.0.1:65536", "is not a port, a number from 0 to 65535"),
        ("127.0.0.1:-1", "is not a port"),
        ("::1:8000", "IPv6 addresses are written in brackets"),
        ("[::1:8000", "write [IPV6]:PORT"),
        ("unix:", "names no path"),
        ("", "is empty; write HOST:PORT"),
        ("8000", "is a port alone; write 127.0.0.1:8000, or :8000"),
        ("http://127.0.0.1:8000/", "is a URL; write HOST:PORT"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ListenError) as caught:
        parse_address(text)
    assert reason in str(caught.value)


def test_an_address_may_be_given_once_and_a_free_port_as_often_as_one_likes() -> None:
    assert len(parse_addresses(["127.0.0.1:0", "127.0.0.1:0", "unix:a", "unix:b", ":81", "[::1]:81"])) == 6
    for texts in (["127.0.0.1:8000", "127.0.0.1"], ["unix:a", "unix:a"], [":81", "*:81"]):
        with pytest.raises(ListenError, match=f"{parse_address(texts[0])} is given twice"):
            parse_addresses(texts)


@pytest.mark.parametrize("text", ["127.0.0.1:8080", "[::1]:81", "unix:/run/shop.sock"])
def test_an_address_is_shown_as_it_is_written(text: str) -> None:
    assert str(parse_address(text)) == text


def test_a_url_leads_to_this_machine() -> None:
    assert parse_address(":9000").url == "http://127.0.0.1:9000/"
    assert parse_address("[::]:9000").url == "http://[::1]:9000/"
    assert parse_address("unix:shop.sock").url == "unix:shop.sock"


def test_port_0_is_one_that_is_free() -> None:
    with bind(Address(None, "127.0.0.1", 0)) as listener:
        assert local_address(listener).port > 0


def test_a_port_in_use_is_said_to_be() -> None:
    with bind(Address(None, "127.0.0.1", 0)) as listener:
        listener.listen()
        address = local_address(listener)
        with pytest.raises(ListenError, match=f"cannot listen on {address}: it is in use; stop what listens there"):
            bind(address)


def test_a_reserved_port_is_in_use_for_others_and_shared_by_workers() -> None:
    with reserve(Address(None, "127.0.0.1", 0)) as reserved:
        address = local_address(reserved)
        with bind_shared(address) as one, bind_shared(address) as other:
            one.listen(BACKLOG)
            other.listen(BACKLOG)
            with pytest.raises(ListenError, match="it is in use"):
                reserve(address)


def test_an_address_of_no_interface_is_refused() -> None:
    with pytest.raises(ListenError, match="no interface of this machine has that address"):
        bind(Address(None, "192.0.2.1", 0))


def test_a_name_of_no_machine_is_refused() -> None:
    with pytest.raises(ListenError, match="cannot listen on .*: .*; give an address of this machine"):
        bind(Address(None, "a" * 64, 0))


def test_the_file_of_a_server_that_is_gone_is_replaced(tmp_path: Path) -> None:
    address = Address(str(tmp_path / "socket"), "", 0)
    bind(address).close()
    with bind(address) as listener:
        assert local_address(listener) == address


def test_the_file_of_a_server_that_answers_is_left_alone(tmp_path: Path) -> None:
    address = Address(str(tmp_path / "socket"), "", 0)
    with bind(address) as listener:
        listener.listen()
        with pytest.raises(ListenError, match="it is in use; stop what listens there, or choose another one"):
            bind(address)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "socket"))


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ListenError, match="what has that name is no socket"):
        bind(Address(str(tmp_path / "file"), "", 0))
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "reason"), [("none/socket", "its folder does not exist"), ("s" * 200, "too long; choose a shorter one")]
)
def test_a_path_that_no_socket_can_have_is_refused_with_the_reason(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ListenError, match=reason):
        bind(Address(str(tmp_path / name), "", 0))


def test_the_file_of_a_unix_socket_is_taken_away_from_any_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = parse_address("unix:socket")
    with bind(address), socket_file(address):
        monkeypatch.chdir("/")
    assert not (folder / "socket").exists()


def test_a_file_that_is_gone_already_is_no_matter(tmp_path: Path) -> None:
    address = Address(str(tmp_path / "socket"), "", 0)
    with bind(address), socket_file(address):
        (tmp_path / "socket").unlink()


def test_the_file_of_the_next_server_is_left_alone(tmp_path: Path) -> None:
    address = Address(str(tmp_path / "socket"), "", 0)
    with bind(address) as first, socket_file(address):
        first.close()  # it answers nobody any more, and finishes what is under way
        time.sleep(0.05)  # the clock of files is a coarse one
        second = bind(address)
    with second:
        assert (tmp_path / "socket").exists()


def test_a_server_that_is_too_busy_to_answer_is_not_waited_for(tmp_path: Path) -> None:
    address = Address(str(tmp_path / "socket"), "", 0)
    with bind(address) as busy, socket.socket(socket.AF_UNIX) as client:
        busy.listen(0)
        client.connect(address.path)  # type: ignore[arg-type]
        with pytest.raises(ListenError, match="it is in use"):
            bind(address)
