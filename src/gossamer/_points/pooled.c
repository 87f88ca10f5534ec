/* Calls that wait for something no descriptor tells of: file locks, opening a FIFO, os.system, input.

   File locks (fcntl.flock, fcntl.lockf, os.lockf, fcntl.fcntl with F_SETLKW or F_OFD_SETLKW) are tried again and
   again, with pauses that grow with the time waited for, never longer than LONGEST_PAUSE. A native thread could wait
   for them in the kernel, but could not be called off: it would take the lock for somebody who does not want it any
   more, on a descriptor that may be another file by then, and locks of lockf() die with any descriptor of the file.
   So an interrupted wait leaves nothing behind. The price: whoever waits in the kernel has the lock sooner, if
   several want it; the kernel does not see a deadlock of such locks (EDEADLK); a wait is longer than it needs to be,
   by an eighth at most.

   A FIFO is opened by a native thread of its own, since it may take until somebody here opens the other end. Other
   files are opened where they are; so is a FIFO for reading and writing or with O_NONBLOCK, which does not wait. An
   opener, given to open(), calls os.open() itself. An open() that nobody waits for any more is closed when it comes
   about; until then its thread, and the end it holds, stay.

   Not reached: io.FileIO(path) called by itself, which is a type and no function. */
#include "audit.h"
#include "file_identity.h"
#include "pooled.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static PyObject *point_flock(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_lockf(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_fcntl(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_os_lockf(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_system(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_input(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_os_open(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_io_open(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);

#define POOLED_POINT(module_name, function_name, ours, convention, group_name) \
    {.module = module_name, .name = function_name, .function = (PyCFunction)(void (*)(void))ours, \
     .flags = convention, .kind = WAITER, .group = group_name}

enum { FLOCK, LOCKF, FCNTL, OS_LOCKF, SYSTEM, INPUT, OS_OPEN, IO_OPEN };

struct point pooled_points[] = {
    [FLOCK] = POOLED_POINT("fcntl", "flock", point_flock, METH_FASTCALL, "os"),
    [LOCKF] = POOLED_POINT("fcntl", "lockf", point_lockf, METH_FASTCALL, "os"),
    [FCNTL] = POOLED_POINT("fcntl", "fcntl", point_fcntl, METH_FASTCALL, "os"),
    [OS_LOCKF] = POOLED_POINT("os", "lockf", point_os_lockf, METH_FASTCALL, "os"),
    [SYSTEM] = POOLED_POINT("os", "system", point_system, METH_FASTCALL | METH_KEYWORDS, "os"),
    [INPUT] = POOLED_POINT("builtins", "input", point_input, METH_FASTCALL, "builtins"),
    [OS_OPEN] = POOLED_POINT("os", "open", point_os_open, METH_FASTCALL | METH_KEYWORDS, "os"),
    [IO_OPEN] = POOLED_POINT("_io", "open", point_io_open, METH_FASTCALL | METH_KEYWORDS, "os"),
    {.module = NULL},
};

/* Seconds. */
#define SHORTEST_PAUSE 0.0005
#define LONGEST_PAUSE 0.05

/* ---- helpers ---- */

static PyObject *
helper_find(const char *module, const char *name)
{
    PyObject *helpers = PyImport_ImportModule(module);
    PyObject *helper = attribute_named(helpers, name);
    Py_XDECREF(helpers);
    return helper;
}

PyObject *
call_helper(const char *module, const char *name, const struct point *point, PyObject *const *args, Py_ssize_t count,
            PyObject *names)
{
    PyObject *helper = helper_find(module, name);
    if (helper == NULL)
        return NULL;
    Py_ssize_t total = count + (names != NULL ? PyTuple_GET_SIZE(names) : 0);
    PyObject **all = PyMem_New(PyObject *, total + 1), *result = NULL;
    if (all != NULL) {
        all[0] = point->original;
        for (Py_ssize_t i = 0; i < total; i++)
            all[i + 1] = args[i];
        result = PyObject_Vectorcall(helper, all, (size_t)count + 1, names);
    }
    else {
        PyErr_NoMemory();
    }
    PyMem_Free(all);
    Py_DECREF(helper);
    return result;
}

PyObject *
argument_from(PyObject *const *args, Py_ssize_t count, PyObject *names, Py_ssize_t place, const char *name)
{
    if (place < count)
        return args[place];
    for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(names); i++)
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), name) == 0)
            return args[count + i];
    return NULL;
}

/* ---- file locks ---- */

static int
descriptor_of(PyObject *file)
{
    int descriptor = PyObject_AsFileDescriptor(file);
    if (descriptor < 0)
        PyErr_Clear();
    return descriptor;
}

/* Waits a while before the next try. Returns -1 with an exception set. */
static int
pause_before_retry(struct hub *hub, PyObject *file, int64_t began)
{
    struct file_identity before = file_identity_of(descriptor_of(file));
    double pause = (double)(clock_now() - began) / 8e9;
    pause = pause < SHORTEST_PAUSE ? SHORTEST_PAUSE : pause > LONGEST_PAUSE ? LONGEST_PAUSE : pause;
    if (hub_pause(hub, pause) < 0)
        return -1;
    return file_identity_check(descriptor_of(file), before);
}

/* Calls the original with `command` in the second place until it is not refused for another's lock. */
static PyObject *
lock_patiently(struct hub *hub, const struct point *point, PyObject *const *args, Py_ssize_t count, int command)
{
    PyObject *given[5], *number = PyLong_FromLong(command), *result;
    if (number == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++)
        given[i] = i == 1 ? number : args[i];
    int64_t began = clock_now();
    for (bool again = false;; again = true) {
        result = point_original_audited(point, NULL, given, count, again);
        if (result != NULL || !PyErr_ExceptionMatches(PyExc_BlockingIOError))
            break;
        PyErr_Clear();
        if (pause_before_retry(hub, args[0], began) < 0)
            break;
    }
    Py_DECREF(number);
    return result;
}

/* flock() and lockf(), whose second argument is made of LOCK_SH, LOCK_EX, LOCK_UN and LOCK_NB. */
static PyObject *
lock_file(const struct point *point, PyObject *const *args, Py_ssize_t count, Py_ssize_t most)
{
    struct hub *hub = point_hub(point);
    int operation = hub != NULL && count >= 2 && count <= most ? natural_from(args[1]) : -1;
    bool may_wait = operation >= 0 && !(operation & (LOCK_NB | LOCK_UN)) && (operation & (LOCK_SH | LOCK_EX));
    return may_wait ? lock_patiently(hub, point, args, count, operation | LOCK_NB)
                    : point_original(point, NULL, args, count, NULL);
}

static PyObject *
point_flock(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    return lock_file(&pooled_points[FLOCK], args, count, 2);
}

static PyObject *
point_lockf(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    return lock_file(&pooled_points[LOCKF], args, count, 5);
}

static PyObject *
point_fcntl(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    const struct point *point = &pooled_points[FCNTL];
    struct hub *hub = point_hub(point);
    int command = hub != NULL && (count == 2 || count == 3) ? natural_from(args[1]) : -1;
    if (command == F_SETLKW)
        return lock_patiently(hub, point, args, count, F_SETLK);
    if (command == F_OFD_SETLKW)
        return lock_patiently(hub, point, args, count, F_OFD_SETLK);
    return point_original(point, NULL, args, count, NULL);
}

/* The C library's lockf(), with commands of its own. */
static PyObject *
point_os_lockf(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    const struct point *point = &pooled_points[OS_LOCKF];
    struct hub *hub = point_hub(point);
    if (hub != NULL && count == 3 && natural_from(args[1]) == F_LOCK)
        return lock_patiently(hub, point, args, count, F_TLOCK);
    return point_original(point, NULL, args, count, NULL);
}

/* ---- FIFOs ---- */

/* Whether the path, relative to a directory, is a FIFO. What is no path is none. */
static bool
is_fifo(PyObject *file, int directory)
{
    PyObject *path = NULL;
    if (PyLong_Check(file) || !PyUnicode_FSConverter(file, &path)) {
        PyErr_Clear();
        return false;
    }
    struct stat status;
    int result;
    Py_BEGIN_ALLOW_THREADS
    result = fstatat(directory, PyBytes_AS_STRING(path), &status, 0);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    return result == 0 && S_ISFIFO(status.st_mode);
}

static PyObject *
point_os_open(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &pooled_points[OS_OPEN];
    struct hub *hub = point_hub(point);
    PyObject *path = hub != NULL ? argument_from(args, count, names, 0, "path") : NULL;
    PyObject *given = path != NULL ? argument_from(args, count, names, 1, "flags") : NULL;
    int flags = given != NULL ? natural_from(given) : -1;
    bool may_wait = flags >= 0 && (flags & O_ACCMODE) != O_RDWR && !(flags & (O_NONBLOCK | O_PATH));
    PyObject *folder = may_wait ? argument_from(args, count, names, 3, "dir_fd") : NULL;
    int directory = folder != NULL && folder != Py_None ? natural_from(folder) : AT_FDCWD;
    if (!may_wait || !is_fifo(path, directory))
        return point_original(point, module, args, count, names);
    return call_helper("gossamer._sync.native_call", "open_in_own_thread", point, args, count, names);
}

static PyObject *
point_io_open(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &pooled_points[IO_OPEN];
    struct hub *hub = point_hub(point);
    PyObject *file = hub != NULL ? argument_from(args, count, names, 0, "file") : NULL;
    PyObject *mode = file != NULL ? argument_from(args, count, names, 1, "mode") : NULL;
    PyObject *opener = file != NULL ? argument_from(args, count, names, 7, "opener") : NULL;
    const char *text = mode != NULL && PyUnicode_Check(mode) ? PyUnicode_AsUTF8(mode) : "r";
    if (text == NULL)
        PyErr_Clear();
    bool may_wait = file != NULL && text != NULL && strchr(text, '+') == NULL && (opener == NULL || opener == Py_None);
    if (!may_wait || !is_fifo(file, AT_FDCWD))
        return point_original(point, module, args, count, names);
    return call_helper("gossamer._sync.native_call", "open_in_own_thread", point, args, count, names);
}

/* ---- commands and lines ---- */

static PyObject *
point_system(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &pooled_points[SYSTEM];
    if (point_hub(point) == NULL)
        return point_original(point, module, args, count, names);
    return call_helper("gossamer._sync.native_call", "call_in_own_thread", point, args, count, names);
}

static PyObject *
point_input(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    const struct point *point = &pooled_points[INPUT];
    if (point_hub(point) == NULL || count > 1)
        return point_original(point, module, args, count, NULL);
    return call_helper("gossamer._points.terminal", "read_line", point, args, count, NULL);
}
