"""gevent's private module of that name, as far as programs import it: results of calls, as iterators."""

from gossamer._sync.imap import OrderedResults as IMap
from gossamer._sync.imap import Results as IMapUnordered

__all__ = ["IMap", "IMapUnordered"]
