"""The WSGI server behind gevent's interface: gevent's module of that name."""

from gossamer.http.pywsgi import (
    Environ,
    LoggingLogAdapter,
    SecureEnviron,
    WSGIHandler,
    WSGISecureEnviron,
    WSGIServer,
    _NoopLog,
)

__all__ = [
    "Environ",
    "LoggingLogAdapter",
    "SecureEnviron",
    "WSGIHandler",
    "WSGISecureEnviron",
    "WSGIServer",
    "_NoopLog",
]
