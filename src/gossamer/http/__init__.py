"""The WSGI server.

server       Server, which the command line serves with
limits       what a client may ask for
errors       what applications may meet in `wsgi.input` and elsewhere
takeover     how applications take a connection over, for WebSockets and the like
pywsgi       gevent's interface to the same

From bytes to applications, each module on top of the one before: transport (bytes of one client), input (bodies),
request (heads, and how bodies end), response, connection (all of one client's life), connections (all clients), server.
"""

from gossamer.http.access_log import Access, CombinedLog
from gossamer.http.errors import ClientDisconnected, RequestBodyError, RequestTimeout
from gossamer.http.limits import Limits
from gossamer.http.server import Server

__all__ = ["Access", "ClientDisconnected", "CombinedLog", "Limits", "RequestBodyError", "RequestTimeout", "Server"]
