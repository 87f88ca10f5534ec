"""The standard library's `_thread`, whose calls are blocking points, under gevent's module name.

`start_new_thread()` starts a green thread once `monkey.patch_thread()` has been called.
"""

from _thread import *  # noqa: F403
