"""Waiting for descriptors: the standard library's `select`, whose calls are blocking points."""

import select as _home
from select import *  # noqa: F403

from gossamer._standard_library import rest_of

__getattr__ = rest_of(_home)
