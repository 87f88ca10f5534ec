"""Sockets: the standard library's `socket`, whose calls are blocking points, and gevent's functions for descriptors."""

import socket as _home
from socket import *  # noqa: F403

from gossamer._standard_library import rest_of
from gossamer._sync import descriptors

cancel_wait = descriptors.cancel_wait
cancel_wait_ex = descriptors.cancel_wait_ex
wait = descriptors.wait
wait_read = descriptors.wait_read
wait_write = descriptors.wait_write
wait_readwrite = descriptors.wait_readwrite

__getattr__ = rest_of(_home)
