"""What can go wrong between a client, the server and an application.

`Refusal` and `Expired` stay inside the server. The others may be met by applications: in `wsgi.input`, in the
`write()` callable, or wherever a request that takes too long happens to wait.
"""


class Refusal(Exception):
    """A request that is answered with an error before any application sees it; the connection is closed then.

    status: the code to answer with.
    reason: what was wrong, for the client and the log.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


class Expired(BaseException):
    """Ends a wait of the server's own that took too long, or that a stopping server does not want any more."""


class ClientDisconnected(ConnectionError):
    """The client is gone, or has read nothing for longer than the limits allow."""


class RequestBodyError(OSError):
    """The body of the request cannot be read: malformed, larger than allowed, or not sent in time.

    status: what the client is answered if the application does not answer: 400, 413 or 408.
    reason: what was wrong, for the client.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class RequestTimeout(BaseException):
    """The request has taken longer than the server's `timeout`; raised in the application wherever it waits.

    Like `gossamer.Timeout` it is no Exception, so that `except Exception` does not take it for an error of its own.
    """
