"""TLS: the standard library's `ssl`, whose calls are blocking points, under gevent's module name."""

from ssl import *  # noqa: F403
