/* Small differences of the C API: one name for what versions call differently, and what older ones lack. */
#ifndef GOSSAMER_CPYTHON_API_H
#define GOSSAMER_CPYTHON_API_H

#include "version.h"

/* Public from 3.13 on, and deprecated under its private name. */
#if PY_VERSION_HEX >= 0x030d0000
#  define hash_of_pointer Py_HashPointer
#else
#  define hash_of_pointer _Py_HashPointer
#endif

/* What a weak reference refers to: a new reference, or NULL without an exception. */
static inline PyObject *
weak_target(PyObject *reference)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyObject *target;
    return PyWeakref_GetRef(reference, &target) > 0 ? target : NULL;
#else
    PyObject *target = PyWeakref_GET_OBJECT(reference);
    return target != Py_None ? Py_NewRef(target) : NULL;
#endif
}

#if PY_VERSION_HEX < 0x030c0000
/* The one exception object of the pending error, as later versions keep it. */
static inline PyObject *
PyErr_GetRaisedException(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL)
        return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
}

static inline void
PyErr_SetRaisedException(PyObject *value)
{
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(value)), value, PyException_GetTraceback(value));
}
#endif

/* Has the interpreter refuse the module in sub-interpreters; 3.11 cannot. */
#if PY_VERSION_HEX >= 0x030c0000
#  define MAIN_INTERPRETER_ONLY_SLOT {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#else
#  define MAIN_INTERPRETER_ONLY_SLOT
#endif

/* What the end of a thread's function by an exception that nobody caught is reported as. */
static inline void
thread_error_report(PyObject *function)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyErr_FormatUnraisable("Exception ignored in thread started by %R", function);
#else
    _PyErr_WriteUnraisableMsg("in thread started by", function);
#endif
}

/* Whether the calling thread, whose state this is, holds the GIL. */
static inline bool
thread_holds_gil(PyThreadState *tstate)
{
#if PY_VERSION_HEX >= 0x030d0000
    return PyThreadState_GetUnchecked() == tstate;
#else
    return _PyThreadState_UncheckedGet() == tstate;
#endif
}

static inline bool
interpreter_is_finalizing(void)
{
#if PY_VERSION_HEX >= 0x030d0000
    return Py_IsFinalizing();
#else
    return _Py_IsFinalizing();
#endif
}

/* Makes a new object of one that lay on a free list, of its type before or another one with the same layout. */
static inline void
object_revive(PyObject *object, PyTypeObject *type)
{
    if (type->tp_flags & Py_TPFLAGS_HEAPTYPE)
        Py_INCREF(type);
    Py_SET_TYPE(object, type);
    _Py_NewReference(object);
}

/* Forgets that the collector has finalized `object` once, so that it can be ended again. */
static inline void
object_forget_finalized(PyObject *object)
{
#ifdef Py_GIL_DISABLED
    object->ob_gc_bits &= (uint8_t)~2;
#else
    ((uintptr_t *)object)[-1] &= ~(uintptr_t)1;  /* PyGC_Head._gc_prev */
#endif
}

#endif
