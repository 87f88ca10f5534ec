"""TLS: the standard library's `ssl`, whose calls are blocking points, under gevent's module name."""

import ssl as _home
from ssl import *  # noqa: F403

from gossamer._standard_library import rest_of

__getattr__ = rest_of(_home)
