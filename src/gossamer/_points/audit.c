/* A call that waits is one call to whoever audits the program, however often its original is called.

   - An original raises its audit event at its beginning, before it makes the system call. The interpreter goes through
     the list of its hooks for that. Once a call has to be made again while there are hooks, that list, the object that
     it is, becomes one of a class of ours: a thread that has announced a repetition finds it empty, once.
   - Hooks of C code, added by PySys_AddAuditHook(), are in a list that nobody can stand in for: they are told of each
     repetition. */
#include "audit.h"
#include "../_core/switch/cpython/audit.h"

static __thread bool next_is_known;  /* the next event of this thread has been raised before */

static PyObject *
Hooks_iter(PyObject *self)
{
    if (!next_is_known)
        return PyList_Type.tp_iter(self);
    next_is_known = false;
    return PyObject_GetIter(core.empty_tuple);
}

static PyTypeObject Hooks_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "gossamer._core.AuditHooks",
    .tp_doc = "The interpreter's list of audit hooks.",
    .tp_basicsize = sizeof(PyListObject),
    .tp_base = &PyList_Type,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_iter = Hooks_iter,
};

/* Whether the list of hooks, if there is one, is of our class. */
static bool
hooks_are_ours(void)
{
    PyObject *hooks = audit_hooks();
    if (hooks == NULL || Py_IS_TYPE(hooks, &Hooks_Type))
        return hooks != NULL;
    if (!PyList_CheckExact(hooks) || PyType_Ready(&Hooks_Type) < 0) {
        PyErr_Clear();
        return false;
    }
    Py_SET_TYPE(hooks, &Hooks_Type);
    return true;
}

PyObject *
point_original_audited(const struct point *point, PyObject *self, PyObject *const *args, Py_ssize_t count, bool again)
{
    next_is_known = unlikely(again) && hooks_are_ours();
    PyObject *result = point_original(point, self, args, count, NULL);
    next_is_known = false;
    return result;
}
