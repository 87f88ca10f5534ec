/* Where descriptors are born and die, so that the pollers know which file a number stands for.

   - A birth forgets what was known of the number: a socket that was collected unclosed, or closed by C
     code, has left its registration and perhaps its readiness behind.
   - _socket.socket.__init__ is the slot of a type. It is exchanged in the type, in those that inherited
     it, and in the wrapper that Python calls and later types copy. The constructor that was given a
     descriptor shares it with whoever has it, so those who wait for the number only try again.
   - A death is announced before it happens: once the number is free, another thread may get it.
   - This bookkeeping is done whether the points are switched on or off.
   - The descriptors of the hubs themselves are none of the program's. One that closes all there may be, as daemons do,
     would leave a thread that can neither sleep nor be woken: so they stay open (never across an exec), and closing one
     of them by its number is told that there is none. */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>

static initproc original_init;

/* ---- births ---- */

static void
socket_born(const SocketObject *socket, enum wait_outcome outcome)
{
    if (socket->descriptor < 0)
        return;
    lend_no_more(socket->descriptor);
    descriptor_changed(socket->descriptor, outcome);
}

static bool
is_given_descriptor(PyObject *args, PyObject *kwargs)
{
    PyObject *given = PyTuple_GET_SIZE(args) > 3 ? PyTuple_GET_ITEM(args, 3) : NULL;
    if (given == NULL && kwargs != NULL)
        given = PyDict_GetItemString(kwargs, "fileno");
    return given != NULL && given != Py_None;
}

static int
socket_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    int result = original_init(self, args, kwargs);
    if (result == 0)
        socket_born((SocketObject *)self, is_given_descriptor(args, kwargs) ? UNPARKED : DESCRIPTOR_CLOSED);
    return result;
}

/* Gives the slot to the types that have inherited it. */
static int
heirs_watch(PyTypeObject *type)
{
    PyObject *heirs = PyObject_CallMethod((PyObject *)type, "__subclasses__", NULL);
    Py_ssize_t count = heirs != NULL ? PyList_GET_SIZE(heirs) : 0;
    int result = heirs != NULL ? 0 : -1;
    for (Py_ssize_t i = 0; i < count && result == 0; i++) {
        PyTypeObject *heir = (PyTypeObject *)PyList_GET_ITEM(heirs, i);
        if (heir->tp_init == original_init)
            heir->tp_init = socket_init;
        result = heirs_watch(heir);
    }
    Py_XDECREF(heirs);
    return result;
}

int
births_watch(PyTypeObject *type)
{
    PyObject *wrapper = PyDict_GetItemString(type->tp_dict, "__init__");
    if (wrapper == NULL || !Py_IS_TYPE(wrapper, &PyWrapperDescr_Type)
        || ((PyWrapperDescrObject *)wrapper)->d_wrapped != (void *)type->tp_init)
        return -1;
    original_init = type->tp_init;
    ((PyWrapperDescrObject *)wrapper)->d_wrapped = (void *)socket_init;
    type->tp_init = socket_init;
    return heirs_watch(type);
}

PyObject *
socket_socketpair(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *pair = point_original(&socket_points[SOCKETPAIR], module, args, count, names);
    for (Py_ssize_t i = 0; pair != NULL && i < PyTuple_GET_SIZE(pair); i++)
        socket_born((SocketObject *)PyTuple_GET_ITEM(pair, i), DESCRIPTOR_CLOSED);
    return pair;
}

/* ---- deaths ---- */

static void
number_gone(int descriptor)
{
    lend_no_more(descriptor);
    descriptor_changed(descriptor, DESCRIPTOR_CLOSED);
}

PyObject *
socket_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    int descriptor = ((SocketObject *)self)->descriptor;
    if (descriptor >= 0)
        number_gone(descriptor);
    return point_original_noargs(&socket_points[CLOSE], self);
}

/* The number lives on without the object. Who waits for it as that of another object only tries again. */
PyObject *
socket_detach(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    int descriptor = ((SocketObject *)self)->descriptor;
    if (descriptor >= 0)
        descriptor_changed(descriptor, UNPARKED);
    return point_original_noargs(&socket_points[DETACH], self);
}

int
descriptor_from(PyObject *const *args, Py_ssize_t count, PyObject *names, Py_ssize_t place, const char *name)
{
    PyObject *argument = place < count ? args[place] : NULL;
    for (Py_ssize_t i = 0; argument == NULL && names != NULL && i < PyTuple_GET_SIZE(names); i++)
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), name) == 0)
            argument = args[count + i];
    return argument != NULL ? natural_from(argument) : -1;
}

/* Whether it is what a hub sleeps on, or is woken by. */
static bool
is_a_hubs(int descriptor)
{
    for (const struct thread *thread = core.threads; thread != NULL; thread = thread->next)
        if (thread->hub != NULL
            && (thread->hub->poller.epoll == descriptor || thread->hub->poller.wakeup == descriptor))
            return true;
    return false;
}

PyObject *
os_close(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    int descriptor = descriptor_from(args, count, names, 0, "fd");
    if (descriptor >= 0 && is_a_hubs(descriptor))
        return os_error(EBADF);
    if (descriptor >= 0)
        number_gone(descriptor);
    return point_original(&socket_points[OS_CLOSE], module, args, count, names);
}

static int
greater(int a, int b)
{
    return a > b ? a : b;
}

/* No poller, no lent descriptor and none of a hub's is beyond this. */
static int
last_known(void)
{
    int last = lent_last();
    for (const struct thread *thread = core.threads; thread != NULL; thread = thread->next) {
        if (thread->hub == NULL)
            continue;
        const struct poller *poller = &thread->hub->poller;
        last = greater(last, greater(poller->epoll, poller->wakeup));
        last = greater(last, poller->block_count * POLLABLES_A_BLOCK);
    }
    return last;
}

/* Returns -1 with an exception set. */
static int
close_between(PyObject *module, int low, int high)
{
    PyObject *args[] = {PyLong_FromLong(low), PyLong_FromLong(high)}, *result = NULL;
    if (args[0] != NULL && args[1] != NULL)
        result = point_original(&socket_points[OS_CLOSERANGE], module, args, 2, NULL);
    Py_XDECREF(args[0]);
    Py_XDECREF(args[1]);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

static bool
is_negative(PyObject *argument)
{
    int overflow;
    long value = PyLong_Check(argument) ? PyLong_AsLongAndOverflow(argument, &overflow) : 0;
    return value < 0 && value >= INT_MIN && overflow == 0;
}

PyObject *
os_closerange(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    int low = descriptor_from(args, count, NULL, 0, ""), high = descriptor_from(args, count, NULL, 1, "");
    int last = last_known();
    if (count == 2 && is_negative(args[0]))
        low = 0;
    if (count != 2 || low < 0 || high < 0)
        return point_original(&socket_points[OS_CLOSERANGE], module, args, count, NULL);
    int from = low;
    for (int descriptor = low; descriptor < high && descriptor <= last; descriptor++) {
        if (!is_a_hubs(descriptor)) {
            number_gone(descriptor);
            continue;
        }
        if (close_between(module, from, descriptor) < 0)
            return NULL;
        from = descriptor + 1;
    }
    return close_between(module, from, high) == 0 ? Py_NewRef(Py_None) : NULL;
}

PyObject *
os_dup2(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    int from = descriptor_from(args, count, names, 0, "fd"), to = descriptor_from(args, count, names, 1, "fd2");
    if (from >= 0 && to >= 0 && from != to && fcntl(from, F_GETFD) >= 0) {
        if (pollers_make_way(to) < 0)
            return NULL;
        number_gone(to);
    }
    return point_original(&socket_points[OS_DUP2], module, args, count, names);
}
