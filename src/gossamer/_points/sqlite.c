/* _sqlite3: a green thread parks where SQLite would sleep until another connection has ended its transaction.

   When to wait for a lock, how long, and when waiting would be a deadlock, only SQLite knows, and its busy handler sees
   to it. To try a failed statement again from outside would be wrong: parameters may come from a generator, functions
   written in Python have run, executescript() is half done. So nothing of that is changed. All that SQLite waits by
   is the xSleep function of its operating system layer (`sqlite3_vfs`), and that is exchanged, once, for all
   connections, those that exist already included. The timeout of connect(), PRAGMA busy_timeout, errors and their
   moment are SQLite's own.

   - xSleep is called with the GIL released, mostly. A green thread takes it, parks, and gives it back.
   - The connection's mutex is held meanwhile. It belongs to the OS thread: another green thread would be let in, in the
     middle of a statement. And a native thread that waits for the mutex with the GIL in its hands would wait for ever.
     So all methods that enter a connection are points: while a call is parked inside, others of the same thread wait,
     and between threads one of which has a hub there is one call at a time. A call made from inside a call (a
     function written in Python, a generator of parameters) goes ahead.
   - Nobody can tell the busy handler to give up. After an interrupt it does not sleep any more, runs through
     its remaining tries, and the exception takes the place of the outcome.
   - backup() sleeps in C between its tries, for ever if need be, where it is in nobody's way. It is told not to sleep;
     its progress function parks instead, and can raise.
   - Connections with a shared cache hold a mutex that other connections need, too: there the thread sleeps, as it
     would without us. So does the hub greenlet, which can sleep but not park.
   - check_same_thread looks at the OS thread: all green threads of a thread may use its connections.
   - Opening a file and closing it wait for no lock. interrupt() is made to be called while others are inside. */
#include "calls.h"
#include "../_core/switch/arguments.h"

#include <dlfcn.h>
#include <errno.h>
#include <time.h>

/* As much of sqlite3_vfs as there was in its first version. */
struct vfs {
    int version, file_size, path_length;
    struct vfs *next;
    const char *name;
    void *data;
    void (*open)(void), (*delete)(void), (*access)(void), (*full_path)(void);
    void (*dl_open)(void), (*dl_error)(void), (*dl_symbol)(void), (*dl_close)(void), (*randomness)(void);
    int (*sleep)(struct vfs *, int microseconds);
};

/* The beginning of a _sqlite3.Connection, and of its cursors and blobs. Probed. */
struct connection {
    PyObject_HEAD
    void *database;
};

struct dependant {
    PyObject_HEAD
    PyObject *connection;            /* NULL before __init__ */
};

enum { SQLITE_BUSY = 5, SQLITE_LOCKED = 6 };

static struct calls calls;
static int (*original_sleep)(struct vfs *, int microseconds);
static const char *(*file_of)(void *database, const char *name);
static const char *(*parameter_of)(const char *file, const char *name);

static bool sqlite_probe(void);

/* ---- instead of sleeping ---- */

static bool
shares_cache(const struct call *call)
{
    const struct connection *connection = call->object;
    const char *file = connection->database != NULL ? file_of(connection->database, "main") : NULL;
    const char *cache = file != NULL && *file != '\0' ? parameter_of(file, "cache") : NULL;
    return cache != NULL && strcmp(cache, "shared") == 0;
}

/* Marks all calls of the fiber, which has the mutexes of all their connections. */
static void
mark_parked(const struct fiber *fiber, bool parked)
{
    for (struct call *call = calls.first; call != NULL; call = call->next) {
        if (call->fiber != fiber)
            continue;
        call->parked = parked;
        if (!parked && unlikely(core.lot.waiting > 0))
            parking_lot_unpark_slowly(call->object);
    }
}

/* Parks the current fiber, with the GIL held. Returns false when it has to sleep. */
static bool
sleep_parked(struct hub *hub, int microseconds)
{
    struct fiber *self = hub->thread->current;
    struct call *call = self != hub->home ? call_of(&calls, self, NULL) : NULL;
    if (call == NULL || !call->may_park || shares_cache(call))
        return false;
    if (call->interrupt != NULL)
        return true;
    PyObject *pending = PyErr_GetRaisedException();
    mark_parked(self, true);
    int outcome = hub_pause(hub, microseconds / 1e6);
    mark_parked(self, false);
    if (outcome < 0)
        call->interrupt = PyErr_GetRaisedException();
    if (pending != NULL)
        PyErr_SetRaisedException(pending);
    return true;
}

static int
vfs_sleep(struct vfs *vfs, int microseconds)
{
    struct thread *thread = current_thread;
    if (thread == NULL || thread->hub == NULL || microseconds <= 0)
        return original_sleep(vfs, microseconds);
    int error = errno;
    bool held = thread_holds_gil(thread->tstate);
    if (!held)
        PyEval_RestoreThread(thread->tstate);
    bool parked = thread->hub != NULL && sleep_parked(thread->hub, microseconds);
    if (!held)
        PyEval_SaveThread();
    errno = error;
    return parked ? microseconds : original_sleep(vfs, microseconds);
}

/* ---- one at a time ---- */

static bool
is_in_the_way(const struct call *other, const struct hub *hub, unsigned long thread)
{
    if (other->thread != thread)
        return hub != NULL || other->fiber != NULL;
    return other->parked;
}

static bool
is_occupied(const void *connection, const struct hub *hub)
{
    unsigned long thread = PyThread_get_thread_ident();
    for (const struct call *call = calls.first; call != NULL; call = call->next)
        if (unlikely(call->object == connection) && is_in_the_way(call, hub, thread))
            return true;
    return false;
}

/* Returns NULL with an exception set. */
static struct call *
enter(const struct point *point, PyObject *connection)
{
    struct hub *hub = current_thread != NULL ? current_thread->hub : NULL;
    bool waited = false;
    for (; is_occupied(connection, hub); waited = true) {
        if (hub == NULL)
            thread_nap();
        else if (parking_lot_park(hub, connection, INT64_MAX, waited) < 0) {
            parking_lot_unpark_slowly(connection);
            return NULL;
        }
    }
    if (waited)
        parking_lot_unpark_slowly(connection);  /* the next one may go in as well */
    struct call *call = call_begin(&calls, hub, connection);
    if (call != NULL)
        call->may_park = point->on;
    return call;
}

static PyObject *
leave(struct call *call, PyObject *result)
{
    const void *connection = call->object;
    result = call_end(&calls, call, result);
    if (unlikely(core.lot.waiting > 0))
        parking_lot_unpark_slowly(connection);
    return result;
}

static PyObject *
call_inside(const struct point *point, PyObject *connection, PyObject *self, PyObject *const *args, Py_ssize_t count,
            PyObject *names)
{
    struct call *call = enter(point, connection);
    return call != NULL ? leave(call, point_original(point, self, args, count, names)) : NULL;
}

static PyObject *
call_dependant(const struct point *point, PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *connection = ((struct dependant *)self)->connection;
    if (connection == NULL)
        return point_original(point, self, args, count, names);
    Py_INCREF(connection);               /* __init__ may give a cursor another one meanwhile */
    PyObject *result = call_inside(point, connection, self, args, count, names);
    Py_DECREF(connection);
    return result;
}

/* ---- the points ---- */

#define CONNECTION_METHODS(each) \
    each(execute) each(executemany) each(executescript) each(commit) each(rollback) each(close) each(__exit__) \
    each(blobopen) each(create_function) each(create_aggregate) each(create_window_function) each(create_collation) \
    each(set_authorizer) each(set_progress_handler) each(set_trace_callback) each(serialize) each(deserialize)
#define LATER_CONNECTION_METHODS(each) each(setconfig) each(getconfig)
#define CURSOR_METHODS(each) \
    each(execute) each(executemany) each(executescript) each(fetchone) each(fetchmany) each(fetchall)
#define BLOB_METHODS(each) each(read) each(write)

#define NUMBER_CONNECTION(name) CONNECTION_##name,
#define NUMBER_CURSOR(name) CURSOR_##name,
#define NUMBER_BLOB(name) BLOB_##name,

enum {
    CONNECTION_METHODS(NUMBER_CONNECTION) LATER_CONNECTION_METHODS(NUMBER_CONNECTION) CURSOR_METHODS(NUMBER_CURSOR)
    CURSOR_close, BLOB_METHODS(NUMBER_BLOB) BLOB_close, BLOB___exit__, BACKUP,
};

#define ENTRY(type, name) \
    static PyObject *enter_##type##_##name(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
#define CONNECTION_ENTRY(name) \
    ENTRY(CONNECTION, name) \
    { \
        return call_inside(&sqlite_points[CONNECTION_##name], self, self, args, count, names); \
    }
#define DEPENDANT_ENTRY(type, name) \
    ENTRY(type, name) \
    { \
        return call_dependant(&sqlite_points[type##_##name], self, args, count, names); \
    }
#define CURSOR_ENTRY(name) DEPENDANT_ENTRY(CURSOR, name)
#define BLOB_ENTRY(name) DEPENDANT_ENTRY(BLOB, name)

CONNECTION_METHODS(CONNECTION_ENTRY)
LATER_CONNECTION_METHODS(CONNECTION_ENTRY)
CURSOR_METHODS(CURSOR_ENTRY)
CURSOR_ENTRY(close)
BLOB_METHODS(BLOB_ENTRY)
BLOB_ENTRY(close)
BLOB_ENTRY(__exit__)
ENTRY(CONNECTION, backup);

#define SQLITE_POINT(type_name, text, ours) \
    .module = "_sqlite3", .type = type_name, .name = text, .function = (PyCFunction)(void (*)(void))ours, \
    .flags = METH_FASTCALL | METH_KEYWORDS, .kind = WAITER, .group = "sqlite3", .probe = sqlite_probe
#define CONNECTION_POINT(name) \
    [CONNECTION_##name] = {SQLITE_POINT("Connection", #name, enter_CONNECTION_##name)},
#define LATER_CONNECTION_POINT(name) \
    [CONNECTION_##name] = {SQLITE_POINT("Connection", #name, enter_CONNECTION_##name), .since = 0x030c},
#define CURSOR_POINT(name) [CURSOR_##name] = {SQLITE_POINT("Cursor", #name, enter_CURSOR_##name)},
#define BLOB_POINT(name) [BLOB_##name] = {SQLITE_POINT("Blob", #name, enter_BLOB_##name)},

struct point sqlite_points[] = {
    CONNECTION_METHODS(CONNECTION_POINT)
    LATER_CONNECTION_METHODS(LATER_CONNECTION_POINT)
    CURSOR_METHODS(CURSOR_POINT)
    CURSOR_POINT(close)
    BLOB_METHODS(BLOB_POINT)
    BLOB_POINT(close)
    BLOB_POINT(__exit__)
    [BACKUP] = {SQLITE_POINT("Connection", "backup", enter_CONNECTION_backup)},
    {.module = NULL},
};

/* ---- iterating over a cursor: a slot of its type ---- */

static iternextfunc original_next;

static PyObject *
cursor_next(PyObject *self)
{
    PyObject *connection = ((struct dependant *)self)->connection;
    if (connection == NULL)
        return original_next(self);
    Py_INCREF(connection);
    struct call *call = enter(&sqlite_points[CURSOR_fetchone], connection);
    PyObject *row = call != NULL ? leave(call, original_next(self)) : NULL;
    Py_DECREF(connection);
    return row;
}

/* Gives the slot to the types that have inherited it. */
static int
heirs_exchange_next(PyTypeObject *type)
{
    PyObject *heirs = PyObject_CallMethod((PyObject *)type, "__subclasses__", NULL);
    Py_ssize_t count = heirs != NULL ? PyList_GET_SIZE(heirs) : 0;
    int result = heirs != NULL ? 0 : -1;
    for (Py_ssize_t i = 0; i < count && result == 0; i++) {
        PyTypeObject *heir = (PyTypeObject *)PyList_GET_ITEM(heirs, i);
        if (heir->tp_iternext == original_next)
            heir->tp_iternext = cursor_next;
        result = heirs_exchange_next(heir);
    }
    Py_XDECREF(heirs);
    return result;
}

static int
next_exchange(PyTypeObject *type)
{
    PyObject *wrapper = PyDict_GetItemString(type->tp_dict, "__next__");
    if (wrapper == NULL || !Py_IS_TYPE(wrapper, &PyWrapperDescr_Type)
        || ((PyWrapperDescrObject *)wrapper)->d_wrapped != (void *)type->tp_iternext)
        return -1;
    original_next = type->tp_iternext;
    ((PyWrapperDescrObject *)wrapper)->d_wrapped = (void *)cursor_next;
    type->tp_iternext = cursor_next;
    return heirs_exchange_next(type);
}

/* ---- setting isolation_level or autocommit ends a transaction ---- */

static setter original_setters[2];

static int
set_inside(PyObject *self, PyObject *value, void *closure, setter original)
{
    struct call *call = enter(&sqlite_points[CONNECTION_commit], self);
    if (call == NULL)
        return -1;
    PyObject *result = original(self, value, closure) == 0 ? Py_NewRef(Py_None) : NULL;
    result = leave(call, result);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

static int
set_isolation_level(PyObject *self, PyObject *value, void *closure)
{
    return set_inside(self, value, closure, original_setters[0]);
}

static int
set_autocommit(PyObject *self, PyObject *value, void *closure)
{
    return set_inside(self, value, closure, original_setters[1]);
}

static PyGetSetDef own_definitions[2];

static int
setter_exchange(PyTypeObject *type, const char *name, int place, setter ours)
{
    PyObject *attribute = PyDict_GetItemString(type->tp_dict, name);
    if (attribute == NULL || !Py_IS_TYPE(attribute, &PyGetSetDescr_Type))
        return -1;
    PyGetSetDescrObject *descriptor = (PyGetSetDescrObject *)attribute;
    own_definitions[place] = *descriptor->d_getset;
    original_setters[place] = descriptor->d_getset->set;
    own_definitions[place].set = ours;
    descriptor->d_getset = &own_definitions[place];
    return 0;
}

/* ---- backup ---- */

/* The progress function that backup() calls after each step: self is (the caller's or None, seconds to sleep). */
static PyObject *
backup_progress(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct hub *hub = current_thread != NULL ? current_thread->hub : NULL;
    PyObject *progress = PyTuple_GET_ITEM(self, 0);
    if (progress != Py_None) {
        PyObject *result = PyObject_Vectorcall(progress, args, (size_t)count, NULL);
        if (result == NULL)
            return NULL;
        Py_DECREF(result);
    }
    const struct call *call = hub != NULL ? call_of(&calls, hub->thread->current, NULL) : NULL;
    if (call != NULL && call->interrupt != NULL) {
        PyErr_SetRaisedException(Py_NewRef(call->interrupt));
        return NULL;
    }
    long status = PyLong_AsLong(args[0]);
    if (hub != NULL && (status == SQLITE_BUSY || status == SQLITE_LOCKED)
        && hub_pause(hub, PyFloat_AS_DOUBLE(PyTuple_GET_ITEM(self, 1))) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef backup_progress_definition = {
    "progress", (PyCFunction)(void (*)(void))backup_progress, METH_FASTCALL, NULL,
};

/* The keyword arguments as they are to be handed on. New reference, or NULL: with an exception, or for the original
   to judge. */
static PyObject *
backup_keywords(PyObject *const *values, PyObject *names)
{
    PyObject *keywords = keywords_from(values, names);
    if (keywords == NULL)
        return NULL;
    PyObject *progress = PyDict_GetItemString(keywords, "progress");
    PyObject *sleep = PyDict_GetItemString(keywords, "sleep");
    double seconds = sleep == NULL ? 0.25 : PyFloat_Check(sleep) || PyLong_Check(sleep) ? PyFloat_AsDouble(sleep) : -1;
    PyErr_Clear();
    progress = progress != NULL ? progress : Py_None;
    PyObject *self = (progress == Py_None || PyCallable_Check(progress)) && seconds >= 0
                         ? Py_BuildValue("(Od)", progress, seconds) : NULL;
    PyObject *ours = self != NULL ? PyCFunction_New(&backup_progress_definition, self) : NULL;
    PyObject *zero = ours != NULL ? PyLong_FromLong(0) : NULL;
    if (zero == NULL || PyDict_SetItemString(keywords, "progress", ours) < 0
        || PyDict_SetItemString(keywords, "sleep", zero) < 0)
        Py_CLEAR(keywords);
    Py_XDECREF(zero);
    Py_XDECREF(ours);
    Py_XDECREF(self);
    return keywords;
}

static PyObject *
backup_green(const struct point *point, PyObject *self, PyObject *target, PyObject *keywords)
{
    PyObject *args = PyTuple_Pack(2, self, target);
    PyObject *result = args != NULL ? PyObject_Call(point->original, args, keywords) : NULL;
    Py_XDECREF(args);
    return result;
}

/* Both connections are entered: a step has the mutexes of both. */
ENTRY(CONNECTION, backup)
{
    const struct point *point = &sqlite_points[BACKUP];
    struct hub *hub = point_hub(point);
    PyObject *target = count == 1 && PyObject_TypeCheck(args[0], PyDescr_TYPE(point->original)) ? args[0] : NULL;
    if (target == NULL || target == self)
        return call_inside(point, self, self, args, count, names);
    bool parks = hub != NULL && hub->thread->current != hub->home;
    PyObject *keywords = parks ? backup_keywords(args + 1, names) : NULL;
    if (PyErr_Occurred())
        return NULL;
    struct call *outer = enter(point, self), *inner = outer != NULL ? enter(point, target) : NULL;
    PyObject *result = NULL;
    if (inner != NULL) {
        result = keywords != NULL ? backup_green(point, self, target, keywords)
                                  : point_original(point, self, args, count, names);
        result = leave(inner, result);
    }
    if (outer != NULL)
        result = leave(outer, result);
    Py_XDECREF(keywords);
    return result;
}

/* ---- installing ---- */

/* The library that _sqlite3 uses, whatever others there are in the process. */
static void *
library_open(PyObject *module)
{
    PyObject *file = PyObject_GetAttrString(module, "__file__");
    const char *path = file != NULL ? PyUnicode_AsUTF8(file) : NULL;
    PyErr_Clear();                       /* part of the interpreter: so is the library then, or linked to it */
    void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
    Py_XDECREF(file);
    return library;
}

static bool
sleep_exchange(PyObject *module)
{
    void *library = library_open(module);
    if (library == NULL)
        return false;
    struct vfs *(*vfs_find)(const char *) = dlsym(library, "sqlite3_vfs_find");
    file_of = dlsym(library, "sqlite3_db_filename");
    parameter_of = dlsym(library, "sqlite3_uri_parameter");
    struct vfs *standard = vfs_find != NULL && file_of != NULL && parameter_of != NULL ? vfs_find(NULL) : NULL;
    dlclose(library);
    if (standard == NULL || standard->sleep == NULL)
        return false;
    original_sleep = standard->sleep;
    for (struct vfs *vfs = standard; vfs != NULL; vfs = vfs->next)
        if (vfs->sleep == original_sleep)
            vfs->sleep = vfs_sleep;
    return true;
}

static bool
slots_exchange(PyObject *module)
{
    PyTypeObject *connection = (PyTypeObject *)PyObject_GetAttrString(module, "Connection");
    PyTypeObject *cursor = (PyTypeObject *)PyObject_GetAttrString(module, "Cursor");
    bool done = connection != NULL && cursor != NULL && next_exchange(cursor) == 0
                && setter_exchange(connection, "isolation_level", 0, set_isolation_level) == 0
                && (!HAS_AUTOCOMMIT || setter_exchange(connection, "autocommit", 1, set_autocommit) == 0);
    Py_XDECREF(connection);
    Py_XDECREF(cursor);
    return done;
}

/* Whether a cursor tells its connection where we believe it does. */
static bool
layout_fits(PyObject *module)
{
    PyObject *connection = PyObject_CallMethod(module, "connect", "s", ":memory:");
    PyObject *cursor = connection != NULL ? PyObject_CallMethod(connection, "cursor", NULL) : NULL;
    bool fits = cursor != NULL && ((struct dependant *)cursor)->connection == connection
                && ((struct connection *)connection)->database != NULL;
    PyObject *closed = connection != NULL ? PyObject_CallMethod(connection, "close", NULL) : NULL;
    fits = fits && closed != NULL && ((struct connection *)connection)->database == NULL;
    Py_XDECREF(closed);
    Py_XDECREF(cursor);
    Py_XDECREF(connection);
    return fits;
}

/* Every point asks; the first answer holds. */
static bool
sqlite_probe(void)
{
    static enum { UNKNOWN, FITS, DOES_NOT_FIT } answer;
    if (answer == UNKNOWN) {
        PyObject *module = PyImport_ImportModule("_sqlite3");
        answer = module != NULL && layout_fits(module) && slots_exchange(module) && sleep_exchange(module)
                     ? FITS : DOES_NOT_FIT;
        Py_XDECREF(module);
        if (PyErr_ExceptionMatches(PyExc_ImportError))
            PyErr_Clear();
    }
    return answer == FITS;
}
