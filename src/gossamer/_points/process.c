/* os.wait() and its kin; and in a forked child, whether the other green threads live on.

   Each point asks the original with WNOHANG, parks until a child may have something to tell (child_wait.c), and asks
   again: so what is returned, and what is refused, is always the original's. Whoever asks first gets a child; the
   others get ECHILD, as threads do. With WNOHANG, and with flags that only Linux has (__WCLONE, __WNOTHREAD), the
   original is called as it is.

   In a child of os.fork() they do, as with gevent. Not so where the standard library forks on its own account, to have
   somebody else do a piece of work: the work's waits would let the whole program run a second time.
   - subprocess may run Python code in the child, its preexec_fn, before it executes the program. Its fork is marked.
   - multiprocessing forks by os.fork(). In the child it calls what was registered for that, before the work begins. */
#include "child_wait.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

static PyObject *point_wait(PyObject *module, PyObject *ignored);
static PyObject *point_waitpid(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_wait3(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_wait4(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_waitid(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_fork(PyObject *module, PyObject *ignored);
static PyObject *point_fork_exec(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);

#define WAIT_POINT(function_name, ours, convention) \
    .module = "os", .name = function_name, .function = (PyCFunction)(void (*)(void))ours, .flags = convention, \
    .kind = WAITER, .group = "os"

enum { WAIT, WAITPID, WAIT3, WAIT4, WAITID, FORK, FORK_EXEC };

struct point process_points[] = {
    [WAIT] = {WAIT_POINT("wait", point_wait, METH_NOARGS)},
    [WAITPID] = {WAIT_POINT("waitpid", point_waitpid, METH_FASTCALL)},
    [WAIT3] = {WAIT_POINT("wait3", point_wait3, METH_FASTCALL | METH_KEYWORDS)},
    [WAIT4] = {WAIT_POINT("wait4", point_wait4, METH_FASTCALL | METH_KEYWORDS)},
    [WAITID] = {WAIT_POINT("waitid", point_waitid, METH_FASTCALL)},
    [FORK] = {.module = "os", .name = "fork", .function = point_fork, .flags = METH_NOARGS, .kind = WAKER,
              .group = "os"},
    [FORK_EXEC] = {.module = "_posixsubprocess", .name = "fork_exec",
                   .function = (PyCFunction)(void (*)(void))point_fork_exec, .flags = METH_FASTCALL | METH_KEYWORDS,
                   .kind = WAKER, .group = "subprocess"},
    {.module = NULL},
};

/* ---- asking and waiting ---- */

/* Whether waitid() answered None, or another a tuple that begins with pid 0. */
static bool
tells_nothing(PyObject *answer)
{
    if (answer == Py_None)
        return true;
    PyObject *first = PyTuple_Check(answer) && PyTuple_GET_SIZE(answer) > 0 ? PyTuple_GET_ITEM(answer, 0) : NULL;
    return first != NULL && PyLong_CheckExact(first) && PyLong_AsLong(first) == 0;
}

/* Asks a point's original, `args` with WNOHANG among them, until it has something to tell. */
static PyObject *
ask_and_wait(struct hub *hub, const struct point *point, PyObject *const *args, Py_ssize_t count,
             struct children which)
{
    for (;;) {
        PyObject *answer = point_original(point, NULL, args, count, NULL);
        if (answer == NULL || !tells_nothing(answer))
            return answer;
        Py_DECREF(answer);
        if (child_wait(hub, which) < 0)
            return NULL;
    }
}

/* An argument as an int. false without an exception: for the original to judge. */
static bool
int_from(PyObject *argument, int *value)
{
    int overflow = 0;
    PyObject *number = PyNumber_Index(argument);
    long long whole = number != NULL ? PyLong_AsLongLongAndOverflow(number, &overflow) : -1;
    bool fits = number != NULL && overflow == 0 && whole >= INT_MIN && whole <= INT_MAX;
    Py_XDECREF(number);
    PyErr_Clear();
    *value = fits ? (int)whole : 0;
    return fits;
}

/* ---- wait(), waitpid(), wait3(), wait4() ---- */

static struct children
children_of(int pid, int options)
{
    int changes = WEXITED | (options & (WUNTRACED | WCONTINUED));
    if (pid > 0)
        return (struct children){P_PID, (id_t)pid, changes};
    if (pid == -1 || pid == INT_MIN)
        return (struct children){P_ALL, 0, changes};
    return (struct children){P_PGID, (id_t)(pid == 0 ? getpgrp() : -pid), changes};
}

static bool
options_may_block(int options)
{
    return (options & ~(WUNTRACED | WCONTINUED)) == 0;
}

/* The original's answer for `number`, which is `pid` as an object; NULL: of a function that has no such argument. */
static PyObject *
wait_for_pid(struct hub *hub, const struct point *point, PyObject *pid, int number, int options)
{
    PyObject *without_hang = PyLong_FromLong(options | WNOHANG);
    PyObject *args[] = {pid, without_hang};
    PyObject *answer = NULL;
    if (without_hang != NULL && pid != NULL)
        answer = ask_and_wait(hub, point, args, 2, children_of(number, options));
    else if (without_hang != NULL)
        answer = ask_and_wait(hub, point, &without_hang, 1, children_of(number, options));
    Py_XDECREF(without_hang);
    return answer;
}

static PyObject *
point_wait(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = point_hub(&process_points[WAIT]);
    if (hub == NULL)
        return point_original_noargs(&process_points[WAIT], module);
    PyObject *any = PyLong_FromLong(-1);
    PyObject *answer = any != NULL ? wait_for_pid(hub, &process_points[WAITPID], any, -1, 0) : NULL;
    Py_XDECREF(any);
    return answer;
}

static PyObject *
point_waitpid(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    const struct point *point = &process_points[WAITPID];
    struct hub *hub = point_hub(point);
    int pid, options;
    if (hub == NULL || count != 2 || !int_from(args[0], &pid) || !int_from(args[1], &options)
        || !options_may_block(options))
        return point_original(point, module, args, count, NULL);
    return wait_for_pid(hub, point, args[0], pid, options);
}

static PyObject *
point_wait3(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &process_points[WAIT3];
    struct hub *hub = point_hub(point);
    int options;
    bool one = count == 1 || (count == 0 && names != NULL && PyTuple_GET_SIZE(names) == 1
                              && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "options") == 0);
    if (hub == NULL || !one || (count == 1 && names != NULL) || !int_from(args[0], &options)
        || !options_may_block(options))
        return point_original(point, module, args, count, names);
    return wait_for_pid(hub, point, NULL, -1, options);
}

/* Takes apart wait4(pid, options). false: for the original to judge. */
static bool
wait4_arguments(PyObject *const *args, Py_ssize_t count, PyObject *names, PyObject **pid, PyObject **options)
{
    Py_ssize_t named = names != NULL ? PyTuple_GET_SIZE(names) : 0;
    if (count + named != 2)
        return false;
    *pid = count > 0 ? args[0] : NULL;
    *options = count > 1 ? args[1] : NULL;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (PyUnicode_CompareWithASCIIString(name, "pid") == 0 && *pid == NULL)
            *pid = args[count + i];
        else if (PyUnicode_CompareWithASCIIString(name, "options") == 0 && *options == NULL)
            *options = args[count + i];
    }
    return *pid != NULL && *options != NULL;
}

static PyObject *
point_wait4(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &process_points[WAIT4];
    struct hub *hub = point_hub(point);
    PyObject *first, *second;
    int pid, options;
    if (hub == NULL || !wait4_arguments(args, count, names, &first, &second) || !int_from(first, &pid)
        || !int_from(second, &options) || !options_may_block(options))
        return point_original(point, module, args, count, names);
    return wait_for_pid(hub, point, first, pid, options);
}

/* ---- waitid() ---- */

static bool
waitid_may_block(int type, int id, int options)
{
    if (options & ~(WEXITED | WSTOPPED | WCONTINUED | WNOWAIT))
        return false;
    if (type != P_PIDFD)
        return type == P_PID || type == P_PGID || type == P_ALL;
    /* with O_NONBLOCK it answers EAGAIN */
    int flags = fcntl(id, F_GETFL);
    return flags >= 0 && !(flags & O_NONBLOCK);
}

static PyObject *
point_waitid(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    const struct point *point = &process_points[WAITID];
    struct hub *hub = point_hub(point);
    int type, id, options;
    if (hub == NULL || count != 3 || !int_from(args[0], &type) || !int_from(args[1], &id)
        || !int_from(args[2], &options) || !waitid_may_block(type, id, options))
        return point_original(point, module, args, count, NULL);
    PyObject *without_hang = PyLong_FromLong(options | WNOHANG);
    if (without_hang == NULL)
        return NULL;
    struct children which = {(idtype_t)type, (id_t)id, options & (WEXITED | WSTOPPED | WCONTINUED)};
    PyObject *asked[] = {args[0], args[1], without_hang};
    PyObject *answer = ask_and_wait(hub, point, asked, 3, which);
    Py_DECREF(without_hang);
    return answer;
}

/* ---- children in which the others do not live on ---- */

/* multiprocessing calls it, in the child, with the hub greenlet of who forked. */
static PyObject *
leave_others(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(hub_object))
{
    struct thread *thread = current_thread;
    if (thread != NULL && thread->hub != NULL)
        hub_leave_others(thread->hub);
    Py_RETURN_NONE;
}

static PyMethodDef leave_others_definition = {"leave_others", leave_others, METH_O, NULL};

/* Nothing is said to a program that does not use multiprocessing. */
static void
tell_multiprocessing(struct hub *hub)
{
    PyObject *util = PyDict_GetItemString(PyImport_GetModuleDict(), "multiprocessing.util");
    PyObject *function = util != NULL ? PyCFunction_New(&leave_others_definition, NULL) : NULL;
    PyObject *args[] = {(PyObject *)hub->object, function};
    PyObject *result = function != NULL ? call_method_named(util, "register_after_fork", args, 2) : NULL;
    if (util != NULL && result == NULL)
        PyErr_WriteUnraisable(util);
    Py_XDECREF(function);
    Py_XDECREF(result);
}

/* From 3.13 on, threading takes whoever forks and is not known to it for the main thread, and asserts that its
   identity is that of the OS thread. A green thread that nobody has asked for its thread object has it made now.
   (Before, a child could not exit with such an object for its main thread.) Returns -1 with an exception set. */
static int
make_known_to_threading(void)
{
    if (!HAS_THREAD_HANDLES)
        return 0;
    PyObject *threading = PyDict_GetItemString(PyImport_GetModuleDict(), "threading");
    bool is_another = current_identity() != PyThread_get_thread_ident();
    PyObject *thread = is_another ? call_named(threading, "current_thread") : NULL;
    Py_XDECREF(thread);
    return threading == NULL || !is_another || thread != NULL ? 0 : -1;
}

static PyObject *
point_fork(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = point_hub(&process_points[FORK]);
    if (hub != NULL && make_known_to_threading() < 0)
        return NULL;
    PyObject *child = point_original_noargs(&process_points[FORK], module);
    if (hub != NULL && child != NULL && PyLong_AsLong(child) == 0)
        tell_multiprocessing(hub);
    return child;
}

static PyObject *
point_fork_exec(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &process_points[FORK_EXEC];
    struct hub *hub = point_hub(point);
    if (hub != NULL)
        hub->forks_alone = true;
    PyObject *result = point_original(point, module, args, count, names);
    if (hub != NULL)
        hub->forks_alone = false;
    return result;
}
