"""The standard library's `threading`, which is made of `_thread`'s blocking points.

`Thread` starts green threads once `monkey.patch_thread()` has been called.
"""

import threading as _home
from threading import *  # noqa: F403

from gossamer._standard_library import rest_of

__getattr__ = rest_of(_home)
