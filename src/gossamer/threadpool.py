"""Native worker threads: gevent's module of that name."""

from gossamer._sync.threadpool import ThreadPool, ThreadPoolExecutor

__all__ = ["ThreadPool", "ThreadPoolExecutor"]
