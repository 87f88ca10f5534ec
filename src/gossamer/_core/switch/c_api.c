/* greenlet's C interface: the array of pointers behind the capsule `greenlet._C_API`.

   Order and signatures are those that greenlet's public header greenlet.h compiles into its users:
   0 type, 1 error, 2 GreenletExit, 3 New, 4 GetCurrent, 5 Throw, 6 Switch, 7 SetParent, 8 MAIN,
   9 STARTED, 10 ACTIVE, 11 GetParent. */
#include "fiber.h"

static GreenletObject *
api_new(PyObject *run, GreenletObject *parent)
{
    return (GreenletObject *)greenlet_new(run, (PyObject *)parent);
}

static GreenletObject *
api_get_current(void)
{
    struct thread *thread = thread_get();
    if (thread == NULL)
        return NULL;
    return (GreenletObject *)Py_NewRef((PyObject *)thread->current->object);
}

static bool
is_greenlet(GreenletObject *object)
{
    if (object != NULL && Greenlet_Check(object))
        return true;
    PyErr_BadArgument();
    return false;
}

static PyObject *
api_throw(GreenletObject *self, PyObject *type, PyObject *value, PyObject *traceback)
{
    return is_greenlet(self) ? greenlet_throw_error(self, type, value, traceback) : NULL;
}

static PyObject *
api_switch(GreenletObject *self, PyObject *args, PyObject *kwargs)
{
    return is_greenlet(self) ? greenlet_switch_args(self, args, kwargs) : NULL;
}

static int
api_set_parent(GreenletObject *self, GreenletObject *parent)
{
    return is_greenlet(self) ? greenlet_set_parent(self, (PyObject *)parent) : -1;
}

static int
api_main(GreenletObject *self)
{
    return is_greenlet(self) ? self->fiber->is_main : -1;
}

static int
api_started(GreenletObject *self)
{
    return is_greenlet(self) ? self->fiber->state != FRESH : -1;
}

static int
api_active(GreenletObject *self)
{
    return is_greenlet(self) ? self->fiber->state == STARTED : -1;
}

static GreenletObject *
api_get_parent(GreenletObject *self)
{
    return is_greenlet(self) ? (GreenletObject *)Py_XNewRef((PyObject *)self->fiber->parent) : NULL;
}

/* Filled in once: two of the entries exist only at run time. */
static void *entries[12];

PyObject *
c_api_capsule(void)
{
    cxx_exceptions_look_for();
    if (core.c_api != NULL)
        return Py_NewRef(core.c_api);
    void *const filled[] = {
        &Greenlet_Type, core.error, core.greenlet_exit, api_new, api_get_current, api_throw,
        api_switch, api_set_parent, api_main, api_started, api_active, api_get_parent,
    };
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        entries[i] = filled[i];
    core.c_api = PyCapsule_New(entries, "greenlet._C_API", NULL);
    return Py_XNewRef(core.c_api);
}
