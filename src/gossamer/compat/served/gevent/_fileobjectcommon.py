"""gevent's private module of that name, as far as programs import it."""

from gossamer._sync.descriptors import cancel_wait_ex
from gossamer._sync.fileobject import FileObjectBlock, FileObjectClosed, FileObjectThread
from gossamer._sync.fileobject import FileObjectPosix as FileObjectBase

__all__ = ["FileObjectBase", "FileObjectBlock", "FileObjectClosed", "FileObjectThread", "cancel_wait_ex"]
