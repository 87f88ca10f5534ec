"""gevent's private module of that name, as far as programs import it: a thread's hub."""

from gossamer._sync.hub import get_hub, get_hub_class, get_hub_if_exists, get_loop, set_hub, set_hub_class, set_loop

__all__ = [
    "get_hub",
    "get_hub_class",
    "get_hub_if_exists",
    "get_hub_noargs",
    "get_loop",
    "set_default_hub_class",
    "set_hub",
    "set_loop",
]

get_hub_noargs = get_hub
set_default_hub_class = set_hub_class
