"""File objects that green threads wait for: gevent's module of that name."""

from gossamer._sync.fileobject import FileObject, FileObjectBlock, FileObjectPosix, FileObjectThread

__all__ = ["FileObject", "FileObjectBlock", "FileObjectPosix", "FileObjectThread"]
