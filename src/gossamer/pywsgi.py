"""The WSGI server behind gevent's interface: gevent's module of that name."""

from gossamer.http.handler import WSGIHandler
from gossamer.http.pywsgi import (
    Environ,
    LoggingLogAdapter,
    SecureEnviron,
    WSGISecureEnviron,
    WSGIServer,
    _NoopLog,
)

MAX_REQUEST_LINE = 8192
"""Bytes, with its end, that the first line of a request may have; a server takes it when it starts."""

__all__ = [
    "MAX_REQUEST_LINE",
    "Environ",
    "LoggingLogAdapter",
    "SecureEnviron",
    "WSGIHandler",
    "WSGISecureEnviron",
    "WSGIServer",
    "_NoopLog",
]
