/* The runtime's functions in gossamer._core, as floor 2 and the tests see them, and what the module is made of. */
#include "green_thread.h"

#include <math.h>

/* PyFloat_AsDouble() goes a long way round for what sleep() is given most, and does not say what the number is for. -1.0
   with an exception set. */
static double
seconds_from(PyObject *number)
{
    double seconds = PyLong_CheckExact(number) ? PyLong_AsDouble(number) : PyFloat_AsDouble(number);
    if (unlikely(seconds == -1.0 && PyErr_Occurred()) && !PyNumber_Check(number))
        PyErr_Format(PyExc_TypeError, "a time in seconds must be a number, not %.200s", Py_TYPE(number)->tp_name);
    return seconds;
}

int
deadline_from(PyObject *timeout, int64_t *deadline)
{
    *deadline = INT64_MAX;
    timeout = timeout_seconds(timeout);
    if (timeout == Py_None)
        return 0;
    double seconds = seconds_from(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "a time in seconds must be a number, not nan");
        return -1;
    }
    *deadline = deadline_after(seconds);
    return 0;
}

/* ---- functions ---- */

static PyObject *
core_get_hub(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = hub_get();
    return hub != NULL ? Py_NewRef((PyObject *)hub->object) : NULL;
}

/* Plain hubs that exist become hubs of this class, as if it had been set before they were made. */
static void
hubs_promote(PyTypeObject *type)
{
    if (type->tp_basicsize != Hub_Type.tp_basicsize || type->tp_itemsize != 0
        || type->tp_dictoffset != Hub_Type.tp_dictoffset || type->tp_weaklistoffset != Hub_Type.tp_weaklistoffset)
        return;
    for (struct thread *thread = core.threads; thread != NULL; thread = thread->next) {
        if (thread->hub == NULL || !Py_IS_TYPE(thread->hub->object, &Hub_Type) || type == &Hub_Type)
            continue;
        Py_INCREF(type);
        Py_SET_TYPE(thread->hub->object, type);
    }
}

static PyObject *
core_set_hub_class(PyObject *Py_UNUSED(module), PyObject *type)
{
    if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, &Hub_Type))
        return PyErr_Format(PyExc_TypeError, "the hub class must be a subclass of Hub, not %R", type);
    Py_SETREF(core.hub_class, Py_NewRef(type));
    hubs_promote((PyTypeObject *)type);
    Py_RETURN_NONE;
}

static PyObject *
core_set_green_class(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *type, *hook;
    if (!PyArg_ParseTuple(args, "O!O:set_green_class", &PyType_Type, &type, &hook))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)type, &GreenThread_Type))
        return PyErr_Format(PyExc_TypeError, "the class of green threads must be a subclass of GreenThread, not %R", type);
    Py_XSETREF(core.green_class, (PyTypeObject *)Py_NewRef(type));
    Py_XSETREF(core.spawn_hook, hook != Py_None ? Py_NewRef(hook) : NULL);
    Py_RETURN_NONE;
}

static int
name_place(PyObject *name, const char *const *names, Py_ssize_t known)
{
    for (int place = 0; place < known; place++)
        if (PyUnicode_CompareWithASCIIString(name, names[place]) == 0)
            return place;
    return -1;
}

int
arguments_take(const char *function, const char *const *names, Py_ssize_t known, PyObject *const *args,
               Py_ssize_t count, PyObject *keywords, PyObject **values)
{
    if (count > known) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd arguments (%zd given)", function, known, count);
        return -1;
    }
    for (Py_ssize_t i = 0; i < known; i++)
        values[i] = i < count ? args[i] : NULL;
    for (Py_ssize_t i = 0; keywords != NULL && i < PyTuple_GET_SIZE(keywords); i++) {
        PyObject *name = PyTuple_GET_ITEM(keywords, i);
        int place = name_place(name, names, known);
        if (place < 0 || values[place] != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() %s %R", function,
                         place < 0 ? "has no argument" : "was given twice the argument", name);
            return -1;
        }
        values[place] = args[count + i];
    }
    return 0;
}

static int
sleep_arguments(PyObject *const *args, Py_ssize_t count, PyObject *keywords, double *seconds, int *ref)
{
    if (likely(count == 1 && keywords == NULL)) {
        *seconds = seconds_from(args[0]);
        *ref = 1;
        return *seconds == -1.0 && PyErr_Occurred() ? -1 : 0;
    }
    static const char *const names[] = {"seconds", "ref"};
    PyObject *values[2];
    if (arguments_take("sleep", names, 2, args, count, keywords, values) < 0)
        return -1;
    *seconds = values[0] != NULL ? seconds_from(values[0]) : 0;
    *ref = values[1] != NULL ? PyObject_IsTrue(values[1]) : 1;
    return *ref < 0 || (*seconds == -1.0 && PyErr_Occurred()) ? -1 : 0;
}

static PyObject *
core_sleep(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct hub *hub = hub_get();
    double seconds;
    int ref;
    if (hub == NULL || sleep_arguments(args, count, names, &seconds, &ref) < 0)
        return NULL;
    if (isnan(seconds))
        return PyErr_Format(PyExc_ValueError, "a time in seconds must be a number, not nan");
    uint32_t unreferenced = !ref && seconds > 0;
    hub->unreferenced += unreferenced;
    int outcome = hub_pause(hub, seconds);
    hub->unreferenced -= unreferenced;
    return outcome < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
wait_for(PyObject *args, PyObject *kwargs, enum direction direction)
{
    static char *names[] = {"fd", "timeout", NULL};
    int descriptor;
    PyObject *timeout = Py_None;
    int64_t deadline;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i|O", names, &descriptor, &timeout)
        || deadline_from(timeout, &deadline) < 0)
        return NULL;
    struct hub *hub = hub_get();
    int outcome = hub != NULL ? hub_wait_descriptor(hub, descriptor, direction, deadline) : -1;
    return outcome < 0 ? NULL : PyBool_FromLong(outcome == UNPARKED);
}

static PyObject *
core_wait_read(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    return wait_for(args, kwargs, READING);
}

static PyObject *
core_wait_write(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    return wait_for(args, kwargs, WRITING);
}

static PyObject *
core_interrupt(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *greenlet, *exception;
    if (!PyArg_ParseTuple(args, "O!O:interrupt", &Greenlet_Type, &greenlet, &exception))
        return NULL;
    if (!PyExceptionInstance_Check(exception))
        return PyErr_Format(PyExc_TypeError, "interrupt() needs an exception instance, not %s",
                            Py_TYPE(exception)->tp_name);
    return PyBool_FromLong(hub_interrupt(((GreenletObject *)greenlet)->fiber, exception));
}

static PyObject *
core_after_fork_in_child(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct thread *thread = current_thread;
    promises_after_fork();
    if (core.first_hub_maker != PyThread_get_thread_ident())
        core.first_hub_maker = 0;    /* who makes the first hub in the parent is not here */
    if (thread != NULL && thread->hub != NULL && hub_after_fork(thread->hub) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- into the module ---- */

static PyMethodDef functions[] = {
    {"get_hub", core_get_hub, METH_NOARGS, "get_hub()\n--\n\nThe calling thread's hub greenlet."},
    {"set_hub_class", core_set_hub_class, METH_O,
     "set_hub_class(type, /)\n--\n\nThe class of hubs made from now on: a subclass of Hub."},
    {"spawn", (PyCFunction)(void (*)(void))core_spawn, METH_FASTCALL | METH_KEYWORDS,
     "spawn(function, /, *args, **kwargs)\n--\n\nA new green thread that runs function(*args, **kwargs)."},
    {"join_all", core_join_all, METH_O,
     "join_all(crowd, /)\n--\n\n"
     "Wait until each of a list of green threads has ended: True. False, at once, when others are among them."},
    {"set_green_class", core_set_green_class, METH_VARARGS,
     "set_green_class(type, hook, /)\n--\n\n"
     "The subclass of GreenThread whose spawn() makes instances without calling it, and what is called with each\n"
     "green thread of that class, or below, when it is started; None: nothing."},
    {"sleep", (PyCFunction)(void (*)(void))core_sleep, METH_FASTCALL | METH_KEYWORDS,
     "sleep(seconds=0, ref=True)\n--\n\n"
     "Wait so many `seconds`, or with 0 let everybody who is ready go first.\n\n"
     "With ref=False the end of this wait is nothing that the hub's join() waits for.\n\n"
     "Raises TypeError or ValueError for what is no number, and BlockingSwitchOutError on the hub greenlet. From\n"
     "gevent's documentation of gevent.sleep."},
    {"throw_into", core_throw_into, METH_VARARGS,
     "throw_into(greenlet, exception, /)\n--\n\n"
     "End a greenlet's wait, or its life before the start, with an exception; if it does neither, raise it there\n"
     "as soon as it lets the hub run. From any thread. False when it has ended."},
    {"wait_read", (PyCFunction)(void (*)(void))core_wait_read, METH_VARARGS | METH_KEYWORDS,
     "wait_read(fd, timeout=None)\n--\n\nWait until a descriptor can be read: True; or so many seconds: False."},
    {"wait_write", (PyCFunction)(void (*)(void))core_wait_write, METH_VARARGS | METH_KEYWORDS,
     "wait_write(fd, timeout=None)\n--\n\nWait until a descriptor can be written: True; or so many seconds: False."},
    {"interrupt", core_interrupt, METH_VARARGS,
     "interrupt(greenlet, exception, /)\n--\n\n"
     "End the wait of a parked greenlet with an exception. False when it does not wait for the hub."},
    {"_after_fork_in_child", core_after_fork_in_child, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int
exception_add(PyObject *module, PyObject **place, const char *name, const char *doc, PyObject *base)
{
    *place = PyErr_NewExceptionWithDoc(name, doc, base, NULL);
    return *place != NULL ? PyModule_AddObjectRef(module, strrchr(name, '.') + 1, *place) : -1;
}

static int
exceptions_add(PyObject *module)
{
    if (exception_add(module, &core.loop_exit, "gossamer.exceptions.LoopExit",
                      "Everything is parked for ever; the text says who waits where for what.", PyExc_Exception) < 0)
        return -1;
    if (exception_add(module, &core.blocking_switch_out_error, "gossamer.exceptions.BlockingSwitchOutError",
                      "Something on the hub greenlet tried to wait.", PyExc_AssertionError) < 0)
        return -1;
    return exception_add(module, &core.invalid_switch_error, "gossamer.exceptions.InvalidSwitchError",
                         "A waiting greenlet was switched to by somebody it does not wait for.",
                         PyExc_AssertionError);
}

static int
types_add(PyObject *module)
{
    PyTypeObject *types[] = {&Hub_Type, &GreenThread_Type, &Callback_Type, &WaitQueue_Type};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (PyModule_AddType(module, types[i]) < 0)
            return -1;
    core.hub_class = Py_NewRef((PyObject *)&Hub_Type);
    return 0;
}

/* Descriptors that a child shares with its parent are exchanged right after a fork. */
static int
fork_hook_add(PyObject *module)
{
    PyObject *os = PyImport_ImportModule("os");
    PyObject *hook = os != NULL ? PyObject_GetAttrString(module, "_after_fork_in_child") : NULL;
    PyObject *add = hook != NULL ? PyObject_GetAttrString(os, "register_at_fork") : NULL;
    PyObject *kwargs = add != NULL ? Py_BuildValue("{s:O}", "after_in_child", hook) : NULL;
    PyObject *result = kwargs != NULL ? PyObject_Call(add, core.empty_tuple, kwargs) : NULL;
    int status = result != NULL ? 0 : -1;
    Py_XDECREF(result);
    Py_XDECREF(kwargs);
    Py_XDECREF(add);
    Py_XDECREF(hook);
    Py_XDECREF(os);
    return status;
}

int
runtime_ready(PyObject *module)
{
    if (PyModule_AddFunctions(module, functions) < 0 || exceptions_add(module) < 0 || types_add(module) < 0
        || interface_add(module) < 0 || promises_ready(module) < 0 || timeouts_ready(module) < 0
        || links_ready() < 0)
        return -1;
    return fork_hook_add(module);
}
