"""Every documented public name of gevent is served, or docs/compat.md says why it is not.

The table is gevent 26.9's own lists of names, and the members that its documentation describes.
"""

from pathlib import Path

import pytest

from tests.support.children import output_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "compat.md"

MODULES = {
    "gevent": """Greenlet GreenletExit Timeout config fork get_hub getcurrent getswitchinterval idle iwait joinall kill
        killall reinit setswitchinterval signal_handler sleep spawn spawn_later spawn_raw wait with_timeout __version__
        version_info""",
    "gevent.backdoor": "BackdoorServer",
    "gevent.baseserver": "BaseServer",
    "gevent.contextvars": "Context ContextVar Token copy_context",
    "gevent.core": """embeddable_backends get_header_version get_version loop recommended_backends supported_backends
        time""",
    "gevent.event": "AsyncResult Event",
    "gevent.events": """DoNotPatch GeventDidPatchAllEvent GeventDidPatchBuiltinModulesEvent GeventDidPatchModuleEvent
        GeventPatchEvent GeventWillPatchAllEvent GeventWillPatchEvent GeventWillPatchModuleEvent subscribers
        IGeventPatchEvent EventLoopBlocked MemoryUsageThresholdExceeded MemoryUsageUnderThreshold
        PeriodicMonitorThreadStartedEvent""",
    "gevent.exceptions": "BlockingSwitchOutError HubDestroyed InvalidSwitchError InvalidThreadUseError LoopExit",
    "gevent.fileobject": "FileObject FileObjectBlock FileObjectPosix FileObjectThread",
    "gevent.greenlet": "Greenlet joinall killall",
    "gevent.hub": """GreenletExit Hub Waiter get_hub getcurrent kill reinit set_hub signal sleep spawn_raw LoopExit
        iwait wait""",
    "gevent.local": "local",
    "gevent.lock": "BoundedSemaphore DummySemaphore RLock Semaphore",
    "gevent.monkey": """MonkeyPatchWarning get_original is_module_patched is_object_patched main patch_all
        patch_builtins patch_dns patch_module patch_os patch_queue patch_select patch_signal patch_socket patch_ssl
        patch_subprocess patch_sys patch_thread patch_time saved""",
    "gevent.os": """fork fork_and_watch fork_gevent forkpty forkpty_and_watch forkpty_gevent make_nonblocking nb_read
        nb_write tp_read tp_write waitpid""",
    "gevent.pool": "Group Pool PoolFull",
    "gevent.queue": "Channel Empty Full JoinableQueue LifoQueue PriorityQueue Queue ShutDown SimpleQueue",
    "gevent.resolver": "Resolver",
    "gevent.resolver.blocking": "Resolver",
    "gevent.resolver.thread": "Resolver",
    "gevent.select": "error poll select",
    "gevent.selectors": "DefaultSelector GeventSelector",
    "gevent.server": "DatagramServer StreamServer",
    "gevent.signal": "getsignal signal",
    "gevent.socket": """cancel_wait create_connection create_server fromfd getaddrinfo getfqdn gethostbyaddr
        gethostbyname gethostbyname_ex getnameinfo socket socketpair wait wait_read wait_readwrite wait_write""",
    "gevent.ssl": "SSLContext SSLError SSLSocket create_default_context get_server_certificate wrap_socket",
    "gevent.subprocess": "PIPE Popen STDOUT CalledProcessError TimeoutExpired call check_call check_output run",
    "gevent.thread": "LockType allocate_lock exit get_ident local stack_size start_new_thread",
    "gevent.threading": "Event Lock RLock Thread Timer current_thread local",
    "gevent.threadpool": "ThreadPool ThreadPoolExecutor ThreadResult",
    "gevent.time": "sleep time",
    "gevent.timeout": "Timeout with_timeout",
    "gevent.util": "GreenletTree assert_switches format_run_info print_run_info wrap_errors",
}

CLASSES = {
    "gevent.Greenlet": """add_spawn_callback args dead exc_info exception get gr_frame has_links join kill kwargs link
        link_exception link_value loop minimal_ident name rawlink ready remove_spawn_callback run spawn spawn_later
        spawn_tree_locals spawning_greenlet spawning_stack spawning_stack_limit start start_later started successful
        switch throw unlink unlink_all value""",
    "gevent.Timeout": "cancel close pending start start_new",
    "gevent.baseserver.BaseServer": """close closed do_close do_handle do_read full init_socket is_fatal_error
        max_delay min_delay serve_forever server_host server_port set_handle set_listener set_spawn start
        start_accepting started stop stop_accepting stop_timeout""",
    "gevent.core.loop": """MAXPRI MINPRI activecnt async_ backend backend_int check child destroy fileno fork
        handle_error idle install_sigchld io iteration now pendingcnt prepare reinit run run_callback
        run_callback_threadsafe signal stat timer update_now""",
    "gevent.event.AsyncResult": """cancel cancelled done exc_info exception get get_nowait linkcount rawlink ready
        result set set_exception set_result successful unlink value wait""",
    "gevent.event.Event": "clear isSet is_set linkcount rawlink ready set unlink wait",
    "gevent.hub.Hub": """NOT_ERROR SYSTEM_ERROR backend cancel_wait destroy exception_stream format_context
        handle_error handle_system_error join loop loop_class main_hub minimal_ident name periodic_monitoring_thread
        print_exception resolver resolver_class run switch threadpool threadpool_class threadpool_size wait
        start_periodic_monitoring_thread""",
    "gevent.hub.Waiter": "clear exc_info get ready successful switch switch_args throw value",
    "gevent.lock.Semaphore": "acquire counter locked rawlink ready release unlink wait",
    "gevent.pool.Group": """add apply apply_async apply_cb discard full greenlet_class imap imap_unordered join kill
        killone map map_async map_cb spawn start wait_available""",
    "gevent.pool.Pool": "free_count full size start wait_available",
    "gevent.queue.Queue": """copy empty full get get_nowait is_shutdown join maxsize peek peek_nowait put put_nowait
        qsize queue shutdown task_done unfinished_tasks""",
    "gevent.threadpool.ThreadPool": """adjust apply apply_async imap join kill map maxsize size spawn""",
    "gevent.util.GreenletTree": "child_trees current_tree forest format format_lines greenlet is_current_tree root",
}

MISSING = """
import importlib, sys
import gossamer.compat
gossamer.compat.install()
path, *names = {words!r}.split()
try:
    owner = importlib.import_module(path)
except ImportError:
    module, _, attribute = path.rpartition('.')
    owner = getattr(importlib.import_module(module), attribute)
    if path in ('gevent.util.GreenletTree', 'gevent.pool.Pool'):
        owner = owner(importlib.import_module('gevent').getcurrent() if 'Tree' in path else 1)
print(*(name for name in names if not hasattr(owner, name)))
"""


def unserved(path: str, names: str) -> list[str]:
    """Which of the names a module or a class that the alias serves does not have."""
    return output_of(MISSING.format(words=f"{path} {names}")).split()


@pytest.mark.parametrize("path", [*MODULES, *CLASSES])
def test_a_documented_name_of_gevent_is_there_or_the_document_says_why_not(path: str) -> None:
    said = DOCUMENT.read_text()
    missing = unserved(path, {**MODULES, **CLASSES}[path])
    assert [name for name in missing if f"`{path}.{name}`" not in said] == []


PRIVATE = {
    "gevent._compat": "PYPY WIN string_types integer_types perf_counter reraise iteritems",
    "gevent._config": "config validate_bool",
    "gevent._fileobjectcommon": "FileObjectBase FileObjectClosed",
    "gevent._greenlet_primitives": "get_reachable_greenlets",
    "gevent._hub_local": "get_hub get_hub_if_exists get_hub_noargs get_loop set_hub set_loop",
    "gevent._hub_primitives": "iwait_on_objects wait_on_objects wait_read wait_write",
    "gevent._imap": "IMap IMapUnordered",
    "gevent._interfaces": "ICallback ILoop IWatcher",
    "gevent._semaphore": "Semaphore BoundedSemaphore",
    "gevent._socketcommon": "cancel_wait_ex wait_read socket EBADF",
    "gevent._util": "Lazy LazyOnClass readproperty copy_globals",
    "gevent.hub": "_get_hub",
    "gevent.resolver_thread": "Resolver",
}


@pytest.mark.parametrize("path", PRIVATE)
def test_a_private_name_that_programs_import_is_there(path: str) -> None:
    assert unserved(path, PRIVATE[path]) == []


def test_names_are_looked_up_once() -> None:
    assert (
        output_of(
            "import gossamer.compat; gossamer.compat.install(); import gevent; gevent.sleep\n"
            "print('sleep' in vars(gevent), 'spawn' in vars(gevent), 'spawn' in dir(gevent))"
        )
        == "True False True\n"
    )


def test_the_private_helpers_do_what_their_names_say() -> None:
    assert (
        output_of("""
import gossamer.compat, os
gossamer.compat.install()
from gevent._config import validate_bool
from gevent._util import Lazy, LazyOnClass, copy_globals, readproperty
print([validate_bool(word) for word in ('Yes', ' on', 'false', '', 1)])
try:
    validate_bool('perhaps')
except ValueError:
    print('refused')

class Thing:
    @Lazy
    def lazy(self):
        return object()
    @LazyOnClass
    def shared(self):
        return object()
    @readproperty
    def read(self):
        return 'read'

one, other = Thing(), Thing()
print(one.lazy is one.lazy, one.lazy is other.lazy, one.shared is other.shared, one.read)
one.read = 'hidden'
print(one.read)
names = {}
print(copy_globals(os.path, names, only_names=['join', 'no'], ignore_missing_names=True), names['join'] is os.path.join)
""")
        == "[True, True, False, False, True]\nrefused\nTrue False True read\nhidden\n['join'] True\n"
    )
