"""Host names are looked up by native threads; what needs no lookup is answered at once. Nothing leaves this machine.

Slow lookups are real ones: a getaddrinfo() compiled here, which the dynamic linker puts before the C library's, waits
for a byte in a pipe when it is asked for a name that begins with "slow".
"""

import _socket
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import get_hub, interrupt, sleep, spawn
from gossamer._sync import native_call
from gossamer._sync.resolver import BlockingResolver, Resolver
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, joined, reported, turns, until
from tests.support.sanitizers import preloading

LOOKUPS = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo")


@pytest.fixture(autouse=True)
def _points() -> None:
    get_hub()


def original(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = _core.original("_socket", None, name)
    return found


def outcome(function: Callable[..., object], *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except Exception as fault:
        return type(fault), fault.args


def others_run_during(function: Callable[..., object], *args: Any, **kwargs: Any) -> bool:
    seen: list[int] = []
    other = spawn(seen.append, 1)
    outcome(function, *args, **kwargs)
    ran = seen == [1]
    joined(other)
    return ran


def test_all_points_are_installed() -> None:
    names = {name for name, group, kind, on in _core.points() if (group, kind, on) == ("dns", "waiter", True)}
    assert names == {f"_socket.{name}" for name in LOOKUPS}
    assert "_socket.socket.bind" in {name for name, *_ in _core.points()}


LOOKED_UP = [
    ("getaddrinfo", ("localhost", 80)),
    ("getaddrinfo", (b"localhost", "http", socket.AF_INET, socket.SOCK_STREAM)),
    ("gethostbyname", ("localhost",)),
    ("gethostbyname_ex", ("localhost",)),
    ("gethostbyaddr", ("127.0.0.1",)),
    ("gethostbyaddr", ("localhost",)),
    ("getnameinfo", (("127.0.0.1", 80), 0)),
    ("getnameinfo", (("127.0.0.1", 80), socket.NI_NUMERICSERV)),
]
ANSWERED_AT_ONCE = [
    ("getaddrinfo", ("127.0.0.1", 80)),
    ("getaddrinfo", (b"127.0.0.1", None)),
    ("getaddrinfo", ("::1", "http")),
    ("getaddrinfo", ("127.1", 80)),
    ("getaddrinfo", (None, 80, 0, 0, 0, socket.AI_PASSIVE)),
    ("getaddrinfo", ("localhost", 80, 0, 0, 0, socket.AI_NUMERICHOST)),
    ("gethostbyname", ("127.0.0.1",)),
    ("gethostbyname", ("",)),
    ("gethostbyname", ("<broadcast>",)),
    ("gethostbyname_ex", ("127.0.0.1",)),
    ("getnameinfo", (("127.0.0.1", 80), socket.NI_NUMERICHOST)),
    ("getnameinfo", (("::1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)),
]
WRONG = [
    ("getaddrinfo", ()),
    ("getaddrinfo", (1, 2)),
    ("getaddrinfo", ("x" * 70, 80)),
    ("getaddrinfo", ("a\0b", 80)),
    ("getaddrinfo", ("127.0.0.1", "no such service")),
    ("getaddrinfo", ("127.0.0.1", object())),
    ("gethostbyname", (7,)),
    ("gethostbyname", ("a", "b")),
    ("gethostbyname", ("x" * 70,)),
    ("gethostbyname_ex", ()),
    ("gethostbyaddr", (None,)),
    ("gethostbyaddr", ("x" * 70,)),
    ("getnameinfo", ()),
    ("getnameinfo", ("127.0.0.1", 0)),
    ("getnameinfo", (("x" * 70, 80), 0)),
    ("getnameinfo", (("127.0.0.1",), 0)),
]


@pytest.mark.parametrize(("name", "args"), LOOKED_UP)
def test_a_lookup_gives_what_it_always_gave_while_others_run(name: str, args: tuple[Any, ...]) -> None:
    assert outcome(getattr(_socket, name), *args) == outcome(original(name), *args)
    assert others_run_during(getattr(_socket, name), *args)


@pytest.mark.parametrize(("name", "args"), ANSWERED_AT_ONCE)
def test_what_needs_no_lookup_is_answered_at_once(name: str, args: tuple[Any, ...]) -> None:
    assert outcome(getattr(_socket, name), *args) == outcome(original(name), *args)
    assert not others_run_during(getattr(_socket, name), *args)


@pytest.mark.parametrize(("name", "args"), WRONG)
def test_errors_are_the_originals(name: str, args: tuple[Any, ...]) -> None:
    expected = outcome(original(name), *args)
    assert outcome(getattr(_socket, name), *args) == expected
    assert isinstance(expected[0], type)


def test_arguments_may_be_named() -> None:
    named: dict[str, Any] = {"family": socket.AF_INET, "type": socket.SOCK_STREAM, "flags": socket.AI_CANONNAME}
    assert socket.getaddrinfo("localhost", 80, **named)[0][4] == ("127.0.0.1", 80)
    assert socket.getaddrinfo(host="localhost", port=80, **named)[0][3] == "localhost"
    assert not others_run_during(_socket.getaddrinfo, host="localhost", port=80, flags=socket.AI_NUMERICHOST)


def test_the_functions_of_the_socket_module_are_green_too() -> None:
    assert others_run_during(socket.getaddrinfo, "localhost", 80)
    assert others_run_during(socket.getfqdn, "localhost")
    with socket.create_server(("localhost", 0)) as server:
        with socket.create_connection(("localhost", server.getsockname()[1])) as client:
            assert client.getpeername() == server.getsockname()


def test_a_group_that_is_off_looks_up_in_place() -> None:
    assert _core.points_switch("dns", False) == len(LOOKUPS)
    try:
        assert not others_run_during(socket.getaddrinfo, "localhost", 80)
        with socket.socket() as it:
            assert not others_run_during(it.bind, ("localhost", 0))
    finally:
        _core.points_switch("dns", True)


def test_a_lookup_on_the_hub_greenlet_is_refused_and_a_number_is_not() -> None:
    found: list[Any] = []
    with reported() as reports:
        get_hub().run_callback(_socket.getaddrinfo, "localhost", 80)
        get_hub().run_callback(lambda: found.append(_socket.getaddrinfo("127.0.0.1", 80)))
        turns()
    assert [report.type for report in reports] == [_core.BlockingSwitchOutError]
    assert len(found) == 1


# ---- names in the addresses of sockets ----


def test_connect_and_bind_take_names() -> None:
    with socket.socket() as server, socket.socket() as client:
        assert others_run_during(server.bind, ("localhost", 0))
        server.listen()
        assert server.getsockname()[0] == "127.0.0.1"
        assert others_run_during(client.connect, ("localhost", server.getsockname()[1]))
        assert client.getpeername() == server.getsockname()
    with socket.socket() as client:
        assert client.connect_ex(("localhost", 1)) != 0


@pytest.mark.parametrize("host", ["localhost", b"localhost", bytearray(b"localhost")], ids=repr)
def test_datagrams_are_sent_to_names(host: Any) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender, socket.socket(type=socket.SOCK_DGRAM) as receiver:
        receiver.bind(("", 0))
        address = (host, receiver.getsockname()[1])
        assert sender.sendto(b"one", address) == 3
        assert sender.sendto(b"two", 0, address) == 3
        assert sender.sendmsg([b"three"], [], 0, address) == 5
        assert [receiver.recv(10) for _ in range(3)] == [b"one", b"two", b"three"]


def test_an_address_of_ipv6_keeps_its_other_parts() -> None:
    if not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    with socket.socket(socket.AF_INET6) as it:
        if outcome(it.bind, ("::1", 0)) is not None:
            pytest.skip("this machine has no IPv6 loopback")
    with socket.socket(socket.AF_INET6) as it:
        try:
            name = original("getaddrinfo")("localhost", None, socket.AF_INET6)[0][4][0]
        except socket.gaierror:
            pytest.skip("localhost has no IPv6 address here")
        it.bind(("localhost", 0, 0, 0))
        assert it.getsockname()[0] == name


@pytest.mark.parametrize(
    "address",
    [
        ("x" * 70, 80),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}" + "x" * 70, 80),
        ("a\0b", 80),
        ("localhost", "80"),
        ("localhost", -1),
        ("localhost", 70000),
        ("localhost",),
        ("localhost", 80, 0),
        (None, 80),
        (7, 80),
        "localhost",
        ["localhost", 80],
        ("::1", 80),
        ("", 80.5),
    ],
    ids=repr,
)
@pytest.mark.parametrize("method", ["connect", "connect_ex", "bind"])
def test_wrong_addresses_are_refused_as_ever(method: str, address: Any) -> None:
    with socket.socket() as it:
        expected = outcome(_core.original("_socket", "socket", method), it, address)
        assert outcome(getattr(it, method), address) == expected
        assert isinstance(expected[0], type)


def test_wrong_receivers_are_refused_as_ever() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as it:
        for address in (("x" * 70, 80), ("localhost", "80"), ("localhost", 70000), ("localhost",), None):
            for method, args in (("sendto", (b"x", address)), ("sendmsg", ([b"x"], [], 0, address))):
                expected = outcome(_core.original("_socket", "socket", method), it, *args)
                assert outcome(getattr(it, method), *args) == expected


def test_names_of_other_families_are_left_alone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "localhost"))
        server.listen()
        client.connect(str(tmp_path / "localhost"))


# ---- who asks ----


def test_an_interrupted_lookup_leaves_nothing_behind() -> None:
    for _ in range(100):
        it = spawn(socket.getaddrinfo, "localhost", 80)
        sleep(0)
        interrupt(it, LookupError("enough"))
        joined(it)
    until(lambda: native_call._pool.unfinished == 0)


def test_a_resolver_has_the_same_functions() -> None:
    resolver = Resolver()
    for name, args in LOOKED_UP:
        assert outcome(getattr(resolver, name), *args) == outcome(original(name), *args)
    assert resolver.hub is get_hub()
    resolver.close()


def test_a_blocking_resolver_has_the_originals() -> None:
    resolver = BlockingResolver(get_hub())
    for name, args in LOOKED_UP:
        assert getattr(resolver, name) is original(name)
        assert outcome(getattr(resolver, name), *args) == outcome(original(name), *args)
    resolver.close()


def test_references_and_call_sites_from_before_are_reached() -> None:
    out = output_of(
        """
        from _socket import getaddrinfo
        from socket import gethostbyname, socket
        made_before = socket()
        def hot(): return getaddrinfo('127.0.0.1', 80)
        for _ in range(3000): hot()
        from gossamer import _core
        _core.get_hub()
        order = []
        def asks(name, function, *args):
            function(*args)
            order.append(name)
        threads = [_core.spawn(asks, 1, getaddrinfo, 'localhost', 80), _core.spawn(asks, 2, gethostbyname, 'localhost'),
                   _core.spawn(asks, 3, made_before.bind, ('localhost', 0)), _core.spawn(order.append, 0)]
        for thread in threads: thread.join()
        print(order[0], sorted(order))
        """
    )
    assert out == "0 [0, 1, 2, 3]\n"


def test_a_native_thread_asks_by_itself() -> None:
    out = output_of(
        PRELUDE
        + """
get_hub()
from gossamer._sync import native_call
results = []
def native():
    results.append(socket.getaddrinfo('localhost', 80)[0][4])
    with socket.socket() as it:
        it.bind(('localhost', 0))
thread = threading.Thread(target=native)
thread.start()
thread.join()
print(results, native_call._pool.size)
"""
    )
    assert out == "[('127.0.0.1', 80)] 0\n"


# ---- slow lookups ----

SLOW = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int lookup(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found);

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    lookup *real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (name != NULL && strncmp(name, "slow", 4) == 0 && !(hints != NULL && (hints->ai_flags & AI_NUMERICHOST))) {
        char byte;
        write(atoi(getenv("LOOKUP_BEGINS")), "b", 1);
        if (read(atoi(getenv("LOOKUP_ENDS")), &byte, 1) != 1 || byte != 'y')
            return EAI_NONAME;
        name = "localhost";
    }
    return real(name, service, hints, found);
}
"""
ASKING = (
    PRELUDE
    + """
begins, tell_begin = os.pipe()
ends, tell_end = os.pipe()
os.environ['LOOKUP_BEGINS'], os.environ['LOOKUP_ENDS'] = str(tell_begin), str(ends)
get_hub()
from gossamer._sync import native_call
"""
)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("a slow getaddrinfo() is compiled with gcc, which is not here")
    folder = tmp_path_factory.mktemp("slow")
    (folder / "slow.c").write_text(SLOW)
    library = folder / "slow.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-w", folder / "slow.c", "-o", library, "-ldl"], check=True)
    return preloading(library)


def test_slow_lookups_overlap_with_each_other_and_with_everybody_else(slow: dict[str, str]) -> None:
    out = output_of(
        ASKING
        + """
crowd = [spawn(socket.getaddrinfo, f'slow{number}', 80, socket.AF_INET, socket.SOCK_STREAM) for number in range(10)]
for _ in crowd:
    os.read(begins, 1)
print(socket.getaddrinfo('127.0.0.1', 80)[0][4], any(it.ready() for it in crowd))
os.write(tell_end, b'y' * 9 + b'n')
for it in crowd:
    it.join()
print(sum(it.exception is None for it in crowd), {it.value[0][4] for it in crowd if it.exception is None})
print([type(it.exception).__name__ for it in crowd if it.exception is not None])
""",
        environment=slow,
    )
    assert out == "('127.0.0.1', 80) False\n9 {('127.0.0.1', 80)}\n['gaierror']\n"


@pytest.mark.parametrize("call", ["connect(address)", "connect_ex(address)", "bind(('slow', 0))"])
def test_slow_lookups_of_sockets_let_others_run(slow: dict[str, str], call: str) -> None:
    out = output_of(
        ASKING
        + f"""
server, it = socket.create_server(('127.0.0.1', 0)), socket.socket()
address = ('slow', server.getsockname()[1])
caller = spawn(lambda: it.{call})
os.read(begins, 1)
print(caller.ready())
os.write(tell_end, b'y')
print(joined(caller)[0] or None, it.getsockname()[0])
caller = spawn(lambda: socket.socket().{call})
os.read(begins, 1)
os.write(tell_end, b'n')
caller.join()
print(repr(caller.exception))
""",
        environment=slow,
    )
    assert out == "False\nNone 127.0.0.1\ngaierror(-2, 'Name or service not known')\n"


@pytest.mark.parametrize("call", ["connect(address)", "connect_ex(address)", "bind(('slow', 0))"])
def test_a_socket_that_was_closed_during_the_lookup_says_so(slow: dict[str, str], call: str) -> None:
    out = output_of(
        ASKING
        + f"""
import errno
it, address = socket.socket(), ('slow', 1)
caller = spawn(lambda: it.{call})
os.read(begins, 1)
it.close()
os.write(tell_end, b'y')
caller.join()
told = caller.exception.errno if caller.exception is not None else caller.value
print(errno.errorcode[told], type(caller.exception).__name__)
""",
        environment=slow,
    )
    assert out == ("EBADF NoneType\n" if "connect_ex" in call else "EBADF OSError\n")


@pytest.mark.parametrize(
    "call", ["sendto(b'x', address)", "sendto(b'x', 0, address)", "sendmsg([b'x'], [], 0, address)"]
)
def test_slow_lookups_of_datagrams_let_others_run(slow: dict[str, str], call: str) -> None:
    out = output_of(
        ASKING
        + f"""
receiver, it = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
receiver.bind(('127.0.0.1', 0))
address = ('slow', receiver.getsockname()[1])
caller = spawn(lambda: it.{call})
os.read(begins, 1)
print(caller.ready())
os.write(tell_end, b'y')
print(joined(caller), receiver.recv(10))
""",
        environment=slow,
    )
    assert out == "False\n[1] b'x'\n"


def test_a_lookup_that_nobody_waits_for_keeps_a_thread_and_nothing_else(slow: dict[str, str]) -> None:
    out = output_of(
        ASKING
        + """
it = spawn(socket.getaddrinfo, 'slow', 80)
os.read(begins, 1)
interrupt(it, TimeoutError('enough'))
it.join()
print(repr(it.exception), native_call._pool.unfinished)
os.write(tell_end, b'y')
until(lambda: native_call._pool.unfinished == 0)
""",
        environment=slow,
    )
    assert out == "TimeoutError('enough') 1\n"


def test_a_process_exits_in_the_middle_of_a_lookup(slow: dict[str, str]) -> None:
    out = output_of(
        ASKING + "it = spawn(socket.getaddrinfo, 'slow', 80); os.read(begins, 1); print('bye')", environment=slow
    )
    assert out == "bye\n"


def test_nobody_is_taken_for_stuck_during_a_lookup(slow: dict[str, str]) -> None:
    out = output_of(
        ASKING
        + """
def answer():
    select.select([begins], [], [])
    os.write(tell_end, b'y')
child = os.fork()
if child == 0:
    answer()
    os._exit(0)
print(socket.getaddrinfo('slow', 80, socket.AF_INET, socket.SOCK_STREAM)[0][4])
""",
        environment=slow,
    )
    assert out == "('127.0.0.1', 80)\n"


def test_a_child_asks_again_for_what_its_parent_was_asking(slow: dict[str, str]) -> None:
    out = output_of(
        ASKING
        + """
it = spawn(socket.getaddrinfo, 'slow', 80, socket.AF_INET, socket.SOCK_STREAM)
os.read(begins, 1)
child = os.fork()
if child == 0:
    def check():
        os.read(begins, 1)
        os.write(tell_end, b'yy')
        print(joined(it)[0][0][4])
    leave(check)
wait_for(child)
print(joined(it)[0][0][4])
""",
        environment=slow,
    )
    assert out == "('127.0.0.1', 80)\n" * 2
