"""The standard library's `_thread`, whose calls are blocking points, under gevent's module name.

`start_new_thread()` starts a green thread once `monkey.patch_thread()` has been called.
"""

import _thread as _home
from _thread import *  # noqa: F403
from _thread import _local as local  # noqa: F401 - gevent's name for it

from gossamer._standard_library import rest_of

__getattr__ = rest_of(_home)
