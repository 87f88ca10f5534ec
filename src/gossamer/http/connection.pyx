# cython: language_level=3, boundscheck=False, wraparound=False
"""Connections: one green thread each, from the accepted socket to its end; and what a server knows of all of them.

    read a head -> call the application -> send the response -> drop what is left of the body -> and again

* `Service.sweep()` goes over all connections now and then and ends, by an interrupt, the waits that are past their
  deadline (transport.pyx) and the requests that are past theirs.
* What the application raises is logged with its traceback. What a client does wrong, or that it is gone, is no error of
  the server's: it is counted, and stands in the access log.
* A response that has begun cannot be taken back: when it fails, the connection is closed, so that the client sees it cut
  short.
* A connection that an application has taken over (takeover.py) is only closed when that returns.
"""

import heapq
import time
import traceback

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, int64_t

from gossamer cimport _core
from gossamer.http.input cimport Input, empty_input
from gossamer.http.request cimport RequestReader
from gossamer.http.response cimport Response, bytes_of
from gossamer.http.transport cimport Settings, Transport, coarse_now, moment, nanoseconds

from http import HTTPStatus

from gossamer._core import GreenletExit
from gossamer.http.access_log import Access
from gossamer.http.errors import ClientDisconnected, Expired, Refusal, RequestBodyError, RequestTimeout
from gossamer.http.file_wrapper import FileWrapper, region_of
from gossamer.http.takeover import RawConnection, TakenSocket, end_reading

_core.runtime_import()

cdef int64_t REPEAT_TIME = 1000000000
cdef int TURNS = 16
cdef int64_t JOINED = 65536
cdef str RESULT_RULE = "an application's result must be an iterable of bytes, not of"


cdef class Service(Settings):
    """What a server's connections share: the application, the limits, and the figures.

    access_log: called with an `Access` after each request, or None.
    timeout: seconds that a request may take, None for no bound.
    log: called with a text for what somebody should look after.
    all_ended: called when the last connection has ended.
    """

    cdef public object application
    cdef public object access_log
    cdef public object log
    cdef Py_ssize_t open_count
    cdef Py_ssize_t active
    cdef int64_t served
    cdef int64_t accepted
    cdef int64_t refused
    cdef readonly object timeout
    cdef int64_t request_time
    cdef Connection first
    cdef object all_ended

    def __init__(self, application, limits, str server_name, timeout, access_log, log, all_ended):
        Settings.__init__(self, limits, server_name)
        self.application = application
        self.access_log = access_log
        self.log = log
        self.timeout = timeout
        self.request_time = nanoseconds(timeout)
        self.all_ended = all_ended

    cdef void enter(self, Connection connection):
        connection.next = self.first
        if self.first is not None:
            self.first.previous = connection
        self.first = connection
        self.open_count += 1
        self.accepted += 1

    cdef int leave(self, Connection connection) except -1:
        if connection.previous is not None:
            connection.previous.next = connection.next
        else:
            self.first = connection.next
        if connection.next is not None:
            connection.next.previous = connection.previous
        connection.next = connection.previous = None
        self.open_count -= 1
        if self.open_count == 0:
            self.all_ended()
        return 0

    def sweep(self):
        """End the waits and the requests that have taken too long."""
        cdef int64_t now = coarse_now()
        cdef Connection connection = self.first
        while connection is not None:
            if connection.deadline != 0 and now >= connection.deadline:
                connection.deadline = 0
                _core.runtime_interrupt(connection.greenlet, Expired())
            elif connection.request_deadline <= now:
                # again later, in case the application goes on regardless
                connection.request_deadline = now + REPEAT_TIME
                _core.runtime_interrupt(connection.greenlet, RequestTimeout("the request has taken too long"))
            connection = connection.next

    def close_idle(self):
        """From now on no connection goes on after its request; end those that wait for one, and those that were or may
        be taken over for reading."""
        cdef Connection connection = self.first
        self.stopping = True
        while connection is not None:
            if connection.idle:
                _core.runtime_interrupt(connection.greenlet, Expired())
            elif connection.offered:
                try:
                    end_reading(connection.socket)
                except OSError:
                    pass
            connection = connection.next

    def kill_all(self):
        """End all connections, wherever they wait."""
        cdef Connection connection = self.first
        while connection is not None:
            _core.runtime_interrupt(connection.greenlet, GreenletExit())
            connection = connection.next

    def slowest(self, int count):
        """The requests that have run longest: (method, path, seconds) of up to `count` of them."""
        cdef Connection connection = self.first
        cdef int64_t now = coarse_now()
        running = []
        while connection is not None:
            if connection.started != 0:
                running.append((now - connection.started, connection.method, connection.target))
            connection = connection.next
        longest = heapq.nlargest(count, running)
        return [(method, target.partition("?")[0], took / 1e9) for took, method, target in longest]

    @property
    def open_connections(self):
        """How many connections there are."""
        return self.open_count

    def figures(self):
        """The counts of `stats()`, as a dict."""
        cdef Connection connection = self.first
        cdef Py_ssize_t idle = 0
        while connection is not None:
            idle += connection.idle
            connection = connection.next
        return {
            "connections": self.open_count,
            "idle_connections": idle,
            "active_requests": self.active,
            "total_requests": self.served,
            "refused_requests": self.refused,
            "total_connections": self.accepted,
        }


cdef class Connection(RequestReader):
    """One client's connection; `serve()` is what its green thread runs.

    template: what the environments of its requests begin with.
    tls: an ssl.SSLContext if the connection is to be encrypted, True if its socket does that already, None.
    """

    cdef Service service
    cdef Connection next, previous
    cdef object greenlet
    cdef object tls
    cdef int64_t started                     # of the request, on the coarse clock; 0: there is none
    cdef int64_t request_deadline            # INT64_MAX: none
    cdef str method
    cdef int turns
    cdef bint offered                        # the application may take the connection over
    cdef bint taken                          # it has
    cdef public object driver                # called for each request, in place of the two steps of next_request(); None
    cdef Response response                   # to the request under way

    def __cinit__(self, Service service not None, *_args, **_named):
        self.settings = self.service = service

    def __init__(self, Service service not None, socket, dict template, str address, str port, tls=None):
        RequestReader.__init__(self, service, socket, tls is not None, template, address, port)
        self.tls = tls
        self.request_deadline = INT64_MAX
        self.turns = TURNS

    def serve(self):
        """Serve the requests of this connection until its end."""
        cdef int64_t deadline = moment(self.settings.head_time)
        self.greenlet = <object>_core.runtime_current()
        self.service.enter(self)
        try:
            if self.tls is not None and self.tls is not True:
                self.shake_hands(deadline)
            while self.next_request(deadline):
                deadline = 0
        except Refusal as refusal:
            self.refuse(refusal)
        except Expired:
            self.expired()
        except (OSError, ClientDisconnected, GreenletExit):
            pass
        finally:
            self.end_all()

    cdef bint next_request(self, int64_t deadline) except -1:
        """Serves a request. Whether another may follow on the connection."""
        if self.driver is not None:
            self.head_deadline = deadline
            self.head_begun = self.start < self.end
            return self.driver()
        return self.read_head(deadline) and self.serve_request()

    cpdef bint serve_request(self) except -1:
        """Have the request answered whose head has been read. Whether another may follow on the connection."""
        cdef bint asked_to_close = not self.keep
        self.respond()
        if self.taken:
            return False
        if not self.keep:
            if not asked_to_close or not self.complete or self.start < self.end:
                self.linger()
            return False
        self.give_turn()
        return True

    cdef int shake_hands(self, int64_t deadline) except -1:
        self.deadline = deadline
        try:
            self.socket = self.tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
            self.socket.do_handshake()
        except Expired:
            raise ClientDisconnected("the client did not finish the TLS handshake in time") from None
        finally:
            self.deadline = 0
        return 0

    cdef int give_turn(self) except -1:
        """Requests that were sent ahead are served without a wait, but not for ever at the others' cost."""
        if self.start == self.end:
            return 0
        self.turns -= 1
        if self.turns == 0:
            self.turns = TURNS
            _core.runtime_pause(0)
        return 0

    cdef int expired(self) except -1:
        """A head has not come in time, or the server stops."""
        cdef char *data
        cdef Py_ssize_t got
        if not self.idle:
            return self.refuse(Refusal(408, "the request did not come in time"))
        self.idle = False
        if not self.service.stopping:
            return 0
        # a request may have come just before
        try:
            got = self.receive_at_once(&data)
            if got > 0:
                self.hold(data, got)
                if self.read_head(moment(REPEAT_TIME)):
                    self.respond()
        except Refusal as refusal:
            self.refuse(refusal)
        except (OSError, Expired):
            pass
        return 0

    cpdef int refuse(self, refusal) except -1:
        """Answer a request that no application sees, as a Refusal says. The connection ends with it."""
        cdef Response response = self.new_response()
        self.service.refused += 1
        response.keep = False
        try:
            self.answer(response, refusal.status, refusal.reason)
            self.linger()
        except (OSError, ClientDisconnected):
            pass
        finally:
            response.transport = None
        if self.service.access_log is not None:
            self.log_access(response, time.perf_counter())
        return 0

    cdef int end_all(self) except -1:
        self.end_body()
        self.parser = self.environ = None
        self.use_up(self.end - self.start)
        try:
            self.say_goodbye()
            self.socket.close()
        except OSError:
            pass
        self.service.leave(self)
        self.greenlet = None
        return 0

    # ---- one request ----

    cdef Response new_response(self):
        cdef Response response = Response.__new__(Response)
        response.transport = self
        response.declared = -1
        response.old_protocol = self.version == 10
        return response

    cdef int respond(self) except -1:
        cdef Response response = self.new_response()
        cdef Service service = self.service
        begun = time.perf_counter() if service.access_log is not None else None
        self.method = <str>self.environ["REQUEST_METHOD"]
        response.for_head = self.method == "HEAD"
        response.keep = self.keep and self.settings.idle_time != 0
        if self.upgrade and self.can_be_taken():
            self.offer()
        self.started = coarse_now()
        if service.request_time != INT64_MAX:
            self.request_deadline = self.started + service.request_time
        service.active += 1
        try:
            self.run(response)
        finally:
            service.active -= 1
            service.served += 1
            self.offered = False
            self.request_deadline = INT64_MAX
            self.started = 0
            response.transport = None
            if begun is not None:
                self.log_access(response, begun)
            self.environ = None
            self.keep = self.keep and response.keep and not self.broken
        if self.body is not None and not self.complete and self.keep:
            self.keep = self.drain()
        self.end_body()
        return 0

    cdef int end_body(self) except -1:
        """Nothing can be read from it any more, whoever still has it."""
        if self.body is not None:
            self.body.end()
            self.body = None
        return 0

    cdef bint can_be_taken(self):
        return self.version == 11 and self.body is None and self.start == self.end and not self.service.stopping

    cdef int offer(self) except -1:
        """Lets the application find the connection, wherever it may look for it."""
        cdef Input body = empty_input()
        connection = TakenSocket(self.take_over)
        body.connection = RawConnection(connection)
        self.offered = True
        self.environ["gossamer.socket"] = self.environ["gunicorn.socket"] = connection
        self.environ["wsgi.input"] = body
        return 0

    cdef bint can_switch(self):
        return self.offered

    cdef int switch_protocols(self) except -1:
        self.taken = True
        self.request_deadline = INT64_MAX
        self.started = 0
        return 0

    cdef bint can_go_on(self):
        return not self.taken and RequestReader.can_go_on(self)

    def take_over(self):
        """The socket, which is the application's from now on. Raises RuntimeError when the request has been answered."""
        if not self.offered:
            raise RuntimeError("the request has been answered: its connection cannot be taken over any more")
        self.switch_protocols()
        return self.socket

    cdef int run(self, Response response) except -1:
        result = None
        self.response = response
        try:
            result = self.service.application(self.environ, response.start_response)
            if not self.taken or response.status is not None:
                self.send_result(response, result)
                response.finish()
        except BaseException as error:
            self.failed(response, error)
        finally:
            self.response = None
            if type(result) is not list and type(result) is not tuple:
                self.close_result(result)
        if response.cut or response.is_short():
            self.mismatch(response)
        return 0

    def send_response(self, result):
        """Send what the application has returned, before it counts as having returned it.

        Raises what the iterable raises, AssertionError without a start_response(), ClientDisconnected.
        """
        self.send_result(self.response, result)
        self.response.finish()

    cdef int send_result(self, Response response, result) except -1:
        """Sends what the application returned."""
        cdef bytes piece
        kind = type(result)
        if kind is list or kind is tuple:
            return self.send_all(response, result)
        if isinstance(result, FileWrapper) and self.plain and not response.begun:
            region = region_of(result.file)
            if region is not None:
                descriptor, offset, size = region
                return response.put_file(descriptor, offset, size)
        for data in result:
            piece = exact_bytes(data)
            if PyBytes_GET_SIZE(piece) > 0:
                response.put(piece, -1)
            if response.begun and (response.bodiless or response.cut):
                break
        return 0

    cdef int send_all(self, Response response, result) except -1:
        """Sends a list or a tuple: its length is known."""
        cdef int64_t total = 0
        cdef bytes piece
        pieces = [exact_bytes(data) for data in result]  # of our own: another green thread may change the list
        for piece in pieces:
            total += PyBytes_GET_SIZE(piece)
        for piece in pieces if total > JOINED or len(pieces) < 2 else [b"".join(pieces)]:
            if PyBytes_GET_SIZE(piece) > 0:
                response.put(piece, total)
        return 0

    cdef int close_result(self, result) except -1:
        try:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        except (GreenletExit, KeyboardInterrupt):
            self.broken = True
            raise
        except BaseException:
            self.log_failure()
        return 0

    # ---- what goes wrong ----

    cdef int failed(self, Response response, error) except -1:
        """The application, or the sending of its response, has raised `error`."""
        if isinstance(error, (GreenletExit, KeyboardInterrupt)):
            response.keep = False
            self.broken = True
            raise error
        status, reason = 500, "The application failed."
        if self.taken and isinstance(error, StopIteration):
            return 0
        if self.broken and stems_from(error, ClientDisconnected):
            pass
        elif isinstance(error, RequestBodyError):
            status, reason = error.status, error.reason
        elif isinstance(error, RequestTimeout):
            status, reason = 503, "The request has taken too long."
            self.service.log(f"{self.named()} has taken longer than {self.service.timeout} seconds")
            response.keep = False
        else:
            self.log_failure()
        if self.broken or self.taken or response.begun:
            response.keep = False
            return 0
        response.keep = response.keep and self.keep
        try:
            self.answer(response, status, reason)
        except ClientDisconnected:
            pass
        return 0

    cdef int answer(self, Response response, int status, str reason) except -1:
        """Sends an error as a response of its own."""
        phrase = HTTPStatus(status).phrase
        body = f"{status} {phrase}\n\n{reason}\n".encode("utf-8")
        response.take(f"{status} {phrase}", [("Content-Type", "text/plain; charset=utf-8")])
        response.put(body, len(body))
        return 0

    cdef int mismatch(self, Response response) except -1:
        """More or less was given than was declared."""
        if self.broken:
            return 0
        if response.cut:
            self.service.log(f"{self.named()}: the application gave more than its Content-Length of "
                             f"{response.declared} bytes; the rest was not sent")
        elif response.keep:
            response.keep = False
            self.service.log(f"{self.named()}: the application gave {response.sent} bytes, less than its "
                             f"Content-Length of {response.declared}; the connection is closed")
        return 0

    cdef str named(self):
        """The request under way, for a log: no byte of it does anything to a terminal or to the line."""
        return f"{self.method} {self.target}".encode("ascii", "backslashreplace").decode("ascii")

    def log_failure(self):
        """Tell of the exception that is being handled."""
        self.service.log(f"{self.named()}: the application failed\n{traceback.format_exc().rstrip()}")

    def log_access(self, Response response, begun):
        environ = self.environ or {}
        target = environ.get("RAW_URI") or (self.target if environ else None)  # one that was refused is the parser's
        self.service.access_log(
            Access(
                self.address,
                environ.get("REQUEST_METHOD", "-"),
                target or "-",
                environ.get("SERVER_PROTOCOL", "-"),
                int(response.status[:3]) if response.begun else 101 if self.taken else 0,
                response.sent,
                time.perf_counter() - begun,
                environ.get("HTTP_REFERER"),
                environ.get("HTTP_USER_AGENT"),
            )
        )


cdef bytes exact_bytes(data):
    """A piece of an application's result as bytes and nothing else. Raises TypeError for what is none."""
    if type(data) is bytes:
        return <bytes>data
    if not isinstance(data, bytes):
        return bytes_of(data, RESULT_RULE)
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


def stems_from(error, kind):
    """Whether an exception is one of `kind`, or was raised because of one."""
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, kind):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
