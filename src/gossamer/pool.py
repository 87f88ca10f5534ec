"""Groups and pools of green threads: gevent's module of that name."""

from gossamer._sync.pool import Group, GroupMappingMixin, Pool, PoolFull

__all__ = ["Group", "GroupMappingMixin", "Pool", "PoolFull"]
