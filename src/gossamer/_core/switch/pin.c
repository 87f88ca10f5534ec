/* Pinning: a greenlet whose stack stays where it is while it is parked.

   Whoever holds an address on a stack that is copied out reads and writes another greenlet's frames. The core's own code
   takes care of what it knows (slice.c). What nobody knows of is C code outside that keeps such an address while its
   caller is parked: a library that waits, the garbage collector in the middle of a collection. The caller pins the
   greenlet around that.

   A pinned greenlet is the only tenant of its slot, and the slot is no overflow slot: so nobody ever needs the place, and
   no switch has to ask. The price: one that shares its slot already cannot be pinned, as the others could not run until
   it goes on, and it may be waiting for them. */
#include "fiber.h"

bool
fiber_pin(struct thread *thread)
{
    struct fiber *fiber = thread->current;
    if (fiber->pins == 0 && !slot_keep(thread, fiber->slot))
        return false;
    fiber->pins++;
    return true;
}

void
fiber_unpin(struct thread *thread)
{
    if (thread->current->pins > 0)
        thread->current->pins--;
}

PyObject *
core_pin(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct thread *thread = thread_get();
    if (thread == NULL)
        return NULL;
    return PyBool_FromLong(fiber_pin(thread));
}

PyObject *
core_unpin(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct thread *thread = thread_get();
    if (thread == NULL)
        return NULL;
    if (thread->current->pins == 0) {
        PyErr_SetString(PyExc_RuntimeError, "unpin() without pin(): the running greenlet is not pinned");
        return NULL;
    }
    fiber_unpin(thread);
    Py_RETURN_NONE;
}
