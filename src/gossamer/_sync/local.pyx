"""Attributes of a greenlet's own: `local`.

Every greenlet, raw ones and the main ones of threads included, finds attributes of its own in the same object. They
are kept in a dictionary per greenlet, found by the greenlet's address:

- An entry goes with its greenlet: by a weak reference when the greenlet is collected, and by a link when a green thread
  ends, since its object may be kept for its result. The link goes with the entry if that goes first.
- Neither of the two keeps the `local` alive, so that what it holds goes with its last reference.
- The entry used last is looked at first. It is the running greenlet's if its weak reference says so, which no later
  greenlet at the same address can make it say.
- Attributes are looked up in that dictionary and in the class, never in the instance: nothing has to be exchanged
  before a look-up, so that several OS threads may use one object at once.
- The collector takes apart the dictionaries, and leaves the objects of this module whole: they have no reference that
  may be missing, and no cycle leads through them alone.

The behaviour is that of gevent's documentation of `gevent.local`, which follows `threading.local`.
"""

cimport cython
from cpython.ref cimport PyObject, Py_DECREF, Py_INCREF
from cpython.weakref cimport PyWeakref_NewRef
from gossamer cimport _core

import gossamer._core

_core.runtime_import()

# Not the module's own name: entries go when the module's names are gone, too.
cdef object GreenThread = gossamer._core.GreenThread


cdef extern from "_core/switch/cpython/attributes.h":
    object attribute_get(object self, object name, object attributes)
    PyObject *data_descriptor(object self, object name)
    bint refers_to(PyObject *reference, PyObject *object)


cdef extern from "Python.h":
    int PyObject_GenericSetAttr(object self, object name, PyObject *value) except -1


@cython.final
@cython.internal
@cython.no_gc_clear
cdef class Forgetter:
    """Called when a greenlet ends or is collected: its entry goes. own: a weak reference."""

    cdef object own
    cdef object address
    cdef bint called

    def __call__(self, _):
        cdef Own own = self.own()
        self.called = True
        if own is not None:
            own.forget(self)


@cython.final
@cython.internal
@cython.no_gc_clear
cdef class Entry:
    """What one greenlet has. greenlet: a weak reference, owned, which calls the forgetter."""

    # The collector is not shown it. It would clear a weak reference among the garbage before it calls `__del__`, which
    # would find no attributes. No cycle leads through it.
    cdef PyObject *greenlet
    cdef Forgetter forgetter
    cdef dict attributes

    def __dealloc__(self):
        if self.greenlet == NULL:
            return
        if not self.forgetter.called:
            greenlet = (<object>self.greenlet)()
            if isinstance(greenlet, GreenThread):
                greenlet.unlink(self.forgetter)
        Py_DECREF(<object>self.greenlet)


@cython.final
@cython.internal
@cython.no_gc_clear
cdef class Own:
    """The entries of one `local` by the address of their greenlet, and how to begin another."""

    cdef object __weakref__
    cdef dict entries
    cdef Entry last
    cdef tuple arguments
    cdef dict named

    cdef Entry find(self, PyObject *current):
        """The entry of a greenlet, to be looked at first from now on; None if it has none."""
        cdef Entry entry = self.entries.get(<size_t>current)
        if entry is not None and refers_to(entry.greenlet, current):
            self.last = entry
            return entry
        return None

    cdef Entry begin(self, object current):
        """An entry for a greenlet that has none yet."""
        cdef Forgetter forgetter = Forgetter.__new__(Forgetter)
        cdef Entry entry
        forgetter.own = PyWeakref_NewRef(self, None)
        forgetter.address = <size_t><PyObject *>current
        greenlet = PyWeakref_NewRef(current, forgetter)
        if isinstance(current, GreenThread):
            current.rawlink(forgetter)
        entry = Entry.__new__(Entry)
        entry.attributes = {}
        entry.forgetter = forgetter
        Py_INCREF(greenlet)
        entry.greenlet = <PyObject *>greenlet
        self.entries[forgetter.address] = self.last = entry
        return entry

    cdef int forget(self, Forgetter forgetter) except -1:
        """Take a forgetter's entry away, if it is still there."""
        cdef Entry entry = self.entries.get(forgetter.address)
        if self.last is not None and self.last.forgetter is forgetter:
            self.last = None
        if entry is not None and entry.forgetter is forgetter:
            del self.entries[forgetter.address]
        return 0


@cython.auto_pickle(False)
@cython.no_gc_clear
cdef class local:
    """An object whose attributes belong to the greenlet that sets them.

    A subclass may have an `__init__`, which runs once in each greenlet that uses the object, with the arguments that it
    was made with. Attributes named in `__slots__` of a subclass, and other data descriptors, are shared by all.
    `copy.copy()` makes another one that has this greenlet's attributes, as they are at that moment.

    Raises TypeError when it is made with arguments and no `__init__` takes them.
    """

    cdef Own own
    cdef object __weakref__

    def __cinit__(self, *args, **kwargs):
        if (args or kwargs) and type(self).__init__ is object.__init__:
            raise TypeError(f"{type(self).__name__}() takes no arguments, since it has no __init__ for them")
        cdef Own own = Own.__new__(Own)
        own.entries = {}
        own.arguments = args
        own.named = kwargs
        own.begin(<object>_core.runtime_current())
        self.own = own

    def __getattribute__(self, name):
        attributes = attributes_of(self)
        if isinstance(name, str) and <str>name == "__dict__":
            return attributes
        return attribute_get(self, name, attributes)

    def __setattr__(self, name, value):
        check_name(name)
        if <str>name == "__dict__":
            raise AttributeError(f"__dict__ of a {type(self).__name__} is each greenlet's own and cannot be replaced")
        attributes = attributes_of(self)
        if data_descriptor(self, name) != NULL and is_handled(self, name, "__set__"):
            PyObject_GenericSetAttr(self, name, <PyObject *>value)
        else:
            attributes[name] = value

    def __delattr__(self, name):
        check_name(name)
        if <str>name == "__dict__":
            raise AttributeError(f"__dict__ of a {type(self).__name__} is each greenlet's own and cannot be deleted")
        attributes = attributes_of(self)
        if data_descriptor(self, name) != NULL and is_handled(self, name, "__delete__"):
            PyObject_GenericSetAttr(self, name, NULL)
        elif name in attributes:
            del attributes[name]
        else:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r} in this greenlet")

    def __copy__(self):
        """Another one, with this greenlet's attributes."""
        cdef dict attributes = attributes_of(self).copy()
        cdef local duplicate = type(self)(*self.own.arguments, **self.own.named)
        cdef dict others = attributes_of(duplicate)
        others.clear()
        others.update(attributes)
        return duplicate


cdef inline dict attributes_of(local self):
    """The current greenlet's attributes of that object."""
    cdef PyObject *current = _core.runtime_current()
    cdef Entry entry = self.own.last
    if entry is None or not refers_to(entry.greenlet, current):
        entry = self.own.find(current)
        if entry is None:
            entry = first_use(self, <object>current)
    return entry.attributes


cdef Entry first_use(local self, object current):
    """A greenlet's entry, which begins with what `__init__` sets."""
    cdef Own own = self.own
    cdef Entry entry = own.begin(current)
    kind = type(self)
    if kind.__init__ is not object.__init__:
        try:
            kind.__init__(self, *own.arguments, **own.named)
        except BaseException:
            own.forget(entry.forgetter)
            raise
    return entry


cdef inline int check_name(object name) except -1:
    if not isinstance(name, str):
        raise TypeError(f"attribute name must be string, not {type(name).__name__!r}")
    return 0


cdef bint is_handled(object self, object name, str method) except -1:
    """Whether the data descriptor of that name has that method: some have only one of the two."""
    return hasattr(type(<object>data_descriptor(self, name)), method)
