"""gevent's private module of that name, as far as programs import it.

gevent's are interfaces of zope.interface. Here they are the classes of the loop, watchers and callbacks.
"""

from gossamer._core import Callback as ICallback
from gossamer._sync.loop import Loop as ILoop
from gossamer._sync.loop import Watcher as IWatcher

__all__ = ["ICallback", "ILoop", "IWatcher"]
