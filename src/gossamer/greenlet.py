"""Green threads: gevent's module of that name. (greenlet's own interface is `gossamer.switching`.)"""

from gossamer._sync.greenlet import Greenlet, GreenletExit, getcurrent, joinall, killall

__all__ = ["Greenlet", "GreenletExit", "getcurrent", "joinall", "killall"]
