# cython: nonecheck=True
"""Watchers of what happens seldom: children, signals, forks, files, messages of other threads, the hub's own turns.

Each is an entry of the hub's tables, as those of time and of descriptors are (`watcher`): a child is a descriptor of its
process, a file a time to look at it and a descriptor that tells of changes; of the others somebody tells the hub.

What the code rests on:

- A child is its parent's. In a process forked from there its watcher would report an end that is not told there, or
  tell what is another process's business: it is stopped.
- A signal's handler runs in the main thread, so its watchers are started there. Who sets a handler while they are active
  keeps it.
- What has a descriptor of its own closes it by os.close(): the pollers have to know.
"""

cimport cython
from posix.types cimport pid_t
from gossamer cimport _core
from gossamer._sync.watcher cimport LoopCalls, Watcher

import os
import signal as signals
from weakref import WeakSet

from gossamer import _core as core
from gossamer._sync.watcher import Io

cdef extern from "<sys/wait.h>":
    enum:
        WNOHANG
    pid_t waitpid(pid_t pid, int *status, int options)

cdef extern from "<sys/inotify.h>":
    enum:
        IN_ATTRIB, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_MODIFY, IN_MOVE, IN_MOVE_SELF, IN_ONLYDIR
        IN_CLOEXEC, IN_NONBLOCK
    int inotify_init1(int flags)
    int inotify_add_watch(int notifier, const char *path, unsigned int mask)
    int inotify_rm_watch(int notifier, int mark)

cdef extern from "<unistd.h>":
    int close_natively "close"(int descriptor) nogil

_core.runtime_import()

cdef double SECONDS_BETWEEN_LOOKS_AT_A_FILE = 5.0
cdef double SECONDS_BETWEEN_LOOKS_AT_A_CHILD = 0.05   # where there is no descriptor for it


# ---- what others tell of ----

@cython.auto_pickle(False)
cdef class Async(Watcher):
    """Fires once after each send(), which may be called from any thread; several may become one.

    loop: whose. ref: whether hub.join() waits for it. priority: has no effect.
    """

    def send(self):
        """Have the callback called soon; nothing happens while it is not active. From any thread."""
        self.was_told()

    def send_ignoring_arg(self, _ignored):
        """send(), for links, which are called with an argument."""
        self.send()


@cython.auto_pickle(False)
cdef class Fork(Watcher):
    """Fires in the child after each os.fork() by the thread of its loop.

    loop: whose. ref: whether hub.join() waits for it. priority: has no effect.
    """

    cdef int begin(self) except -1:
        Watcher.begin(self)
        fork_watchers.add(self)
        return True

    cdef int end(self) except -1:
        fork_watchers.discard(self)
        return Watcher.end(self)


fork_watchers = WeakSet()
child_watchers = WeakSet()


def forked():
    """In the child: only the hub of the thread that forked goes on there."""
    hub = core.get_hub() if core.thread_has_hub() else None
    for watcher in list(child_watchers):
        if watcher.loop.hub is hub:
            watcher.stop()
    for watcher in list(fork_watchers):
        if watcher.loop.hub is hub:
            (<Fork>watcher).was_told()


os.register_at_fork(after_in_child=forked)


@cython.auto_pickle(False)
cdef class Signal(Watcher):
    """Fires after each signal of a kind. In the main thread only; the handler before is put back at the end.

    loop: whose. signum: the signal's number. ref: whether hub.join() waits for it. priority: has no effect.
    """

    cdef readonly int signum

    def __init__(self, LoopCalls loop not None, int signum, ref=True, priority=None):
        if not 0 < signum < signals.NSIG:
            raise ValueError(f"illegal signal number: {signum!r}")
        self.set_up(loop, ref, priority)
        self.signum = signum

    def _details(self):
        return f" signum={self.signum}"

    cdef int begin(self) except -1:
        """Raises ValueError outside of the main thread."""
        watchers = signal_watchers.setdefault(self.signum, [])
        Watcher.begin(self)          # raises in another thread than the loop's, with no handler set
        if not watchers:
            try:
                before = signals.signal(self.signum, signal_came)
            except BaseException:
                Watcher.end(self)
                raise
            if before is not signal_came:
                handlers_before[self.signum] = before
        watchers.append(self)
        return True

    cdef int end(self) except -1:
        Watcher.end(self)
        watchers = signal_watchers[self.signum]
        watchers.remove(self)
        if watchers:
            return 0
        try:
            put_handler_back(self.signum)
        except ValueError:           # stopped by another thread
            self.loop.run_callback(put_handler_back, self.signum)
        return 0


signal_watchers = {}       # number -> active watchers, in the order of their starts
handlers_before = {}       # number -> what was there when the first of them came


def signal_came(signum, _frame):
    """The handler of each signal that is watched."""
    for watcher in list(signal_watchers.get(signum, ())):
        (<Signal>watcher).was_told()


def put_handler_back(signum):
    """Where nobody watches the signal any more. Raises ValueError outside of the main thread."""
    if signal_watchers.get(signum) or signum not in handlers_before:
        return
    before = handlers_before[signum]
    if signals.getsignal(signum) is signal_came:
        signals.signal(signum, signals.SIG_DFL if before is None else before)
    del handlers_before[signum]


# ---- children ----

@cython.auto_pickle(False)
cdef class Child(Watcher):
    """Fires when a child process has ended, and reaps it: `rpid`, `rstatus` are what os.waitpid() returns.

    Where somebody else has reaped it, it fires all the same, and `rstatus` is 0. It fires once.

    loop: whose. pid: the child's number. trace: has no effect. ref: whether hub.join() waits for it.
    """

    cdef readonly int pid
    cdef public int rpid, rstatus
    cdef int descriptor              # of the process; -1: none could be had, and it is looked at now and then

    def __cinit__(self):
        self.descriptor = -1

    def __dealloc__(self):
        if self.descriptor >= 0:     # its thread has ended, and with it the poller that knew this
            close_natively(self.descriptor)

    def __init__(self, LoopCalls loop not None, int pid, trace=0, ref=True):
        if pid <= 0:
            raise ValueError(f"a child watcher needs the number of one child, not {pid!r}")
        self.set_up(loop, ref, None)
        self.pid = self.rpid = pid

    def _details(self):
        return f" pid={self.pid} rstatus={self.rstatus}"

    @property
    def _descriptor(self):
        return self.descriptor

    def _take_descriptor(self):
        """Hand the descriptor of the process over to the caller, -1 where there is none. The event must have come."""
        _core.runtime_watch_stop(&self.watch)
        descriptor, self.descriptor = self.descriptor, -1
        return descriptor

    def _has_ended(self):
        """Take the status, if there is one already."""
        cdef int status = 0
        cdef pid_t pid = waitpid(self.pid, &status, WNOHANG)
        if pid > 0:
            self.rpid, self.rstatus = pid, status
        return pid != 0

    cdef int begin(self) except -1:
        try:
            self.descriptor = os.pidfd_open(self.pid)
        except OSError:
            self.look_after(0)
        else:
            self.watch_descriptor()
        child_watchers.add(self)
        return True

    cdef int watch_descriptor(self) except -1:
        try:
            _core.runtime_watch_descriptor(&self.watch, self.loop.hub, self.descriptor, 1, self._ref)
        except BaseException:
            self.close_descriptor()
            raise
        return 0

    cdef int look_after(self, double seconds) except -1:
        _core.runtime_watch_time(&self.watch, self.loop.hub, _core.runtime_time_after(seconds), self._ref)
        return 0

    cdef int end(self) except -1:
        child_watchers.discard(self)
        Watcher.end(self)
        return self.close_descriptor()

    cdef int close_descriptor(self) except -1:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        return 0

    cdef int fired(self, int events) except -1:
        if events & _core.WATCH_TOLD:
            return self.fed()
        if events < 0:
            self.close_descriptor()  # it cannot be watched
        if not self._has_ended():
            if self.descriptor < 0:
                self.look_after(SECONDS_BETWEEN_LOOKS_AT_A_CHILD)
            return 0
        callback, args = self._callback, self._args
        self.stop()
        self._callback, self._args = callback, args
        return self.fed()


# ---- files ----

@cython.auto_pickle(False)
cdef class Stat(Watcher):
    """Fires when what os.stat() says of a path has changed: `prev` and `attr`, None where there is no such file.

    The kernel tells of changes on file systems of this machine. For others, and where it does not, the file is looked
    at each `interval` seconds.

    loop: whose. path: the file's. interval: the seconds; zero or less: 5. ref: whether hub.join() waits for it.
    priority: has no effect. Raises TypeError for what is no path, ValueError for a path with a null character.
    """

    cdef readonly object path, attr, prev
    cdef readonly double interval
    cdef bytes name
    cdef object notices              # watcher of the notifier, while that is open
    cdef int notifier, mark

    def __cinit__(self):
        self.notifier = self.mark = -1

    def __dealloc__(self):
        if self.notifier >= 0:
            close_natively(self.notifier)

    def __init__(self, LoopCalls loop not None, path, double interval=0.0, ref=True, priority=None):
        self.name = os.fsencode(path)
        if b"\0" in self.name:
            raise ValueError(f"a path has no null characters: {path!r}")
        self.set_up(loop, ref, priority)
        self.path = path
        self.interval = interval

    def _details(self):
        return f" path={self.path!r}"

    cdef int begin(self) except -1:
        self.listen()
        self.attr = self.look()
        self.prev = None
        return self.look_again_later()

    cdef int end(self) except -1:
        Watcher.end(self)
        return self.listen_no_more()

    cdef int look_again_later(self) except -1:
        cdef double seconds = self.interval if self.interval > 0 else SECONDS_BETWEEN_LOOKS_AT_A_FILE
        _core.runtime_watch_time(&self.watch, self.loop.hub, _core.runtime_time_after(seconds), self._ref)
        return True

    cdef int fired(self, int events) except -1:
        if events & _core.WATCH_TOLD:
            return self.fed()
        self.look_again_later()
        self.compare()
        return 0

    cdef object look(self):
        try:
            return os.stat(self.name)
        except OSError:
            return None

    cdef int compare(self) except -1:
        """Look at the file, and fire if it is another than before."""
        self.listen()                # first: what changes from now on is told
        now = self.look()
        if state_of(now) != state_of(self.attr):
            self.prev, self.attr = self.attr, now
            self.call()
        return 0

    cdef int listen(self) except -1:
        """Have the kernel tell of changes, as far as it can: of the file that has the path now, or of its folder's."""
        if self.notifier < 0 and not self.open_notifier():
            return 0
        cdef int mark = inotify_add_watch(
            self.notifier, self.name,
            IN_ATTRIB | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MODIFY | IN_MOVE | IN_MOVE_SELF)
        if mark < 0:
            folder = os.path.dirname(self.name) or b"."
            mark = inotify_add_watch(self.notifier, folder, IN_CREATE | IN_MOVE | IN_ONLYDIR)
        if self.mark >= 0 and mark != self.mark:
            inotify_rm_watch(self.notifier, self.mark)
        self.mark = mark
        return 0

    cdef bint open_notifier(self) except -1:
        """Returns False where the system has none left."""
        self.notifier = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
        if self.notifier < 0:
            return False
        self.notices = Io(self.loop, self.notifier, 1, ref=False)
        self.notices.start(self._told_of_change)
        return True

    cdef int listen_no_more(self) except -1:
        notices, self.notices = self.notices, None
        if notices is not None:
            notices.stop()
        notifier, self.notifier, self.mark = self.notifier, -1, -1
        if notifier >= 0:
            os.close(notifier)
        return 0

    def _told_of_change(self):
        try:
            while True:
                os.read(self.notifier, 65536)
        except BlockingIOError:
            pass
        self.compare()


cdef state_of(found):
    """What is compared: the times in full, which the tuple has in whole seconds."""
    return found and (tuple(found), found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)


# ---- the hub's own turns ----

@cython.auto_pickle(False)
cdef class Idle(Watcher):
    """Fires over and over, whenever nobody is ready. While it is active the hub does not sleep.

    loop: whose. ref: whether hub.join() waits for it. priority: has no effect.
    """

    cdef int begin(self) except -1:
        _core.runtime_watch_stand(&self.watch, self.loop.hub, _core.WATCH_IDLE, self._ref)
        return True


@cython.auto_pickle(False)
cdef class Prepare(Watcher):
    """Fires at each turn of the hub, before it asks for events; always before it sleeps.

    loop: whose. ref: whether hub.join() waits for it. priority: has no effect.
    """

    cdef int begin(self) except -1:
        _core.runtime_watch_stand(&self.watch, self.loop.hub, _core.WATCH_PREPARE, self._ref)
        return True


@cython.auto_pickle(False)
cdef class Check(Watcher):
    """Fires at each turn of the hub, after it has asked for events and before the callbacks of those that came.

    loop: whose. ref: whether hub.join() waits for it. priority: has no effect.
    """

    cdef int begin(self) except -1:
        _core.runtime_watch_stand(&self.watch, self.loop.hub, _core.WATCH_CHECK, self._ref)
        return True
