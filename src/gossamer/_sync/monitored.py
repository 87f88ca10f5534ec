"""The hub for those who switch blocking points on: monitored if the environment asks for it.

A program may never ask for its hub, so what the class of hubs in `hub.py` does when one is made would never be done.
That module is large, and is imported here only if the variable is there.
"""

import os

from gossamer import _core

MONITORED = "GEVENT_MONITOR_THREAD_ENABLE"
"""The variable that asks for a monitoring thread; `gossamer.config` knows what its words mean."""


def make_hub() -> None:
    """Make the calling thread's hub if there is none yet.

    Raises ValueError if the variable's word means nothing.
    """
    if MONITORED in os.environ:
        import gossamer._sync.hub  # noqa: F401 - its class of hubs looks at the setting
    _core.get_hub()
