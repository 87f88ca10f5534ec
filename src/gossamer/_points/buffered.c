/* _io.BufferedReader and BufferedWriter: one at a time, also among green threads.

   Such an object keeps a lock while it reads or writes its raw file, where the caller may be parked: in a FileIO of a
   pipe or a terminal, in a socket's makefile(), in a raw file written in Python. The lock belongs to the OS thread. A
   second green thread that came meanwhile would be told "reentrant call". So each method that takes the lock looks
   first whether it is taken, and parks until whoever has it leaves.

   - Nobody waits in the lock itself, where a native thread would take it without the GIL: in between a green thread's
     look and its going in, which then blocks its OS thread for as long as the other reads. (And a readline() that has
     waited in there drops what was buffered meanwhile.) So native threads, too, look and wait outside, by naps, and
     wake green ones when they leave. Only one that was inside before the points were installed is not known of.
   - A lock whose owner will never come back is the original's business: when the interpreter ends, it gives up after a
     while.
   - A call from inside a call of the same green thread (a raw file in Python that uses the buffer above it) is what
     "reentrant call" means, and is for the original to refuse.
   - Nothing is done for BufferedRandom, which needs a file that can be positioned.
   - `for line in file` is a slot of the type BufferedReader, and is exchanged along with the method readline(). The
     subtypes call readline().
   - The hub greenlet cannot wait. What it writes to an object that is taken is written when its turn comes, by a green
     thread, and a flush likewise.
   - An interrupt after a part was written waits for the next piece (file.c). */
#include "file.h"
#include "finalizing.h"

#include "socket.h"

static PyObject *reader_close(PyObject *self, PyObject *ignored);
static PyObject *reader_peek(PyObject *self, PyObject *const *args, Py_ssize_t count);
static PyObject *reader_read(PyObject *self, PyObject *const *args, Py_ssize_t count);
static PyObject *reader_read1(PyObject *self, PyObject *const *args, Py_ssize_t count);
static PyObject *reader_readinto(PyObject *self, PyObject *buffer);
static PyObject *reader_readinto1(PyObject *self, PyObject *buffer);
static PyObject *reader_readline(PyObject *self, PyObject *const *args, Py_ssize_t count);
static PyObject *writer_close(PyObject *self, PyObject *ignored);
static PyObject *writer_flush(PyObject *self, PyObject *ignored);
static PyObject *writer_write(PyObject *self, PyObject *data);

static bool buffered_probe(void);

#define BUFFERED_POINT(type_name, method, ours, convention) \
    {.module = "_io", .type = type_name, .name = method, .function = (PyCFunction)(void (*)(void))ours, \
     .flags = convention, .kind = WAITER, .group = "os", .probe = buffered_probe}

enum buffered_point {
    READER_CLOSE, READER_PEEK, READER_READ, READER_READ1, READER_READINTO, READER_READINTO1, READER_READLINE,
    WRITER_CLOSE, WRITER_FLUSH, WRITER_WRITE,
};

struct point buffered_points[] = {
    [READER_CLOSE] = BUFFERED_POINT("BufferedReader", "close", reader_close, METH_NOARGS),
    [READER_PEEK] = BUFFERED_POINT("BufferedReader", "peek", reader_peek, METH_FASTCALL),
    [READER_READ] = BUFFERED_POINT("BufferedReader", "read", reader_read, METH_FASTCALL),
    [READER_READ1] = BUFFERED_POINT("BufferedReader", "read1", reader_read1, METH_FASTCALL),
    [READER_READINTO] = BUFFERED_POINT("BufferedReader", "readinto", reader_readinto, METH_O),
    [READER_READINTO1] = BUFFERED_POINT("BufferedReader", "readinto1", reader_readinto1, METH_O),
    [READER_READLINE] = BUFFERED_POINT("BufferedReader", "readline", reader_readline, METH_FASTCALL),
    [WRITER_CLOSE] = BUFFERED_POINT("BufferedWriter", "close", writer_close, METH_NOARGS),
    [WRITER_FLUSH] = BUFFERED_POINT("BufferedWriter", "flush", writer_flush, METH_NOARGS),
    [WRITER_WRITE] = BUFFERED_POINT("BufferedWriter", "write", writer_write, METH_O),
    {.module = NULL},
};

static struct calls calls;
static Py_ssize_t postponed;             /* interrupts that wait for the next piece */
static PyTypeObject *reader_type;
static iternextfunc original_next;

static inline const struct buffered_layout *
layout(const void *self)
{
    return self;
}

static bool
is_taken(const void *self)
{
    return layout(self)->lock != NULL && pointer_lock_is_taken(layout(self)->lock);
}

/* ---- going in and out ---- */

static void
wake_next(const void *self)
{
    if (unlikely(core.lot.waiting > 0))
        parking_lot_unpark_slowly(self);
}

/* Waits until nobody is inside. Returns -1 with an exception set. */
static int
wait_outside(struct hub *hub, PyObject *self)
{
    for (bool again = false; is_taken(self); again = true) {
        if (call_of(&calls, hub->thread->current, self) != NULL)
            return 0;
        if (parking_lot_park(hub, self, INT64_MAX, again) < 0) {
            if (!is_taken(self))
                wake_next(self);
            return -1;
        }
    }
    return 0;
}

enum { FIRST_NAP = 50000, LONGEST_NAP = 2000000 };  /* nanoseconds */

/* The same for a thread without a hub. */
static int
wait_outside_natively(PyObject *self)
{
    for (int64_t nap = FIRST_NAP; unlikely(is_taken(self)); nap = nap < LONGEST_NAP ? 2 * nap : nap) {
        if (layout(self)->owner == PyThread_get_thread_ident() || interpreter_is_finalizing())
            return 0;
        if (wait_natively(-1, READING, clock_now() + nap) < 0)
            return -1;
    }
    return 0;
}

static struct call *
enter(struct hub *hub, PyObject *self)
{
    if (unlikely(is_taken(self)) && hub->thread->current != hub->home && wait_outside(hub, self) < 0)
        return NULL;
    return call_begin(&calls, hub, self);
}

static PyObject *
leave(struct call *call, PyObject *result)
{
    const void *self = call->object;
    if (unlikely(call->interrupt != NULL))
        postponed--;
    result = call_end(&calls, call, result);
    wake_next(self);
    return result;
}

/* The original, by its C function when it is called as we are. */
static inline PyObject *
original_object(const struct point *point, PyObject *self, PyObject *argument)
{
    if (likely(point->original_definition.ml_flags == point->flags))
        return point->original_definition.ml_meth(self, argument);
    return point_original(point, self, &argument, argument != NULL, NULL);
}

static inline PyObject *
original_fast(const struct point *point, PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    typedef PyObject *(*fast_function)(PyObject *, PyObject *const *, Py_ssize_t);
    if (likely(point->original_definition.ml_flags == point->flags))
        return ((fast_function)(void (*)(void))point->original_definition.ml_meth)(self, args, count);
    return point_original(point, self, args, count, NULL);
}

static PyObject *
call_object(enum buffered_point which, PyObject *self, PyObject *argument)
{
    const struct point *point = &buffered_points[which];
    struct hub *hub = point_hub(point);
    if (likely(hub != NULL)) {
        struct call *call = enter(hub, self);
        return call != NULL ? leave(call, original_object(point, self, argument)) : NULL;
    }
    PyObject *result = wait_outside_natively(self) == 0 ? original_object(point, self, argument) : NULL;
    wake_next(self);
    return result;
}

static PyObject *
call_fast(enum buffered_point which, PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    const struct point *point = &buffered_points[which];
    struct hub *hub = point_hub(point);
    if (likely(hub != NULL)) {
        struct call *call = enter(hub, self);
        return call != NULL ? leave(call, original_fast(point, self, args, count)) : NULL;
    }
    PyObject *result = wait_outside_natively(self) == 0 ? original_fast(point, self, args, count) : NULL;
    wake_next(self);
    return result;
}

/* ---- reading ---- */

static PyObject *
reader_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return call_object(READER_CLOSE, self, NULL);
}

static PyObject *
reader_peek(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return call_fast(READER_PEEK, self, args, count);
}

static PyObject *
reader_read(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return call_fast(READER_READ, self, args, count);
}

static PyObject *
reader_read1(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return call_fast(READER_READ1, self, args, count);
}

static PyObject *
reader_readinto(PyObject *self, PyObject *buffer)
{
    return call_object(READER_READINTO, self, buffer);
}

static PyObject *
reader_readinto1(PyObject *self, PyObject *buffer)
{
    return call_object(READER_READINTO1, self, buffer);
}

static PyObject *
reader_readline(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return call_fast(READER_READLINE, self, args, count);
}

static PyObject *
reader_next(PyObject *self)
{
    struct hub *hub = point_hub(&buffered_points[READER_READLINE]);
    if (!Py_IS_TYPE(self, reader_type))
        return original_next(self);
    if (hub != NULL) {
        struct call *call = enter(hub, self);
        return call != NULL ? leave(call, original_next(self)) : NULL;
    }
    PyObject *line = wait_outside_natively(self) == 0 ? original_next(self) : NULL;
    wake_next(self);
    return line;
}

/* ---- writing ---- */

/* Whether the hub greenlet finds the object taken by a green thread of its own. */
static bool
is_for_later(PyObject *self)
{
    struct hub *hub = point_hub(&buffered_points[WRITER_WRITE]);
    return hub != NULL && unlikely(hub->thread->current == hub->home) && is_taken(self)
           && layout(self)->owner == PyThread_get_thread_ident()
           && call_of(&calls, hub->home, self) == NULL;
}

/* Has a green thread call the method. Returns -1 with an exception set. */
static int
call_later(PyObject *self, const char *name, PyObject *args)
{
    PyObject *method = args != NULL ? attribute_named(self, name) : NULL;
    GreenThreadObject *thread = method != NULL ? green_thread_new(current_thread->hub, method, args) : NULL;
    int result = thread != NULL ? green_thread_start(thread) : -1;
    Py_XDECREF(thread);
    Py_XDECREF(method);
    return result;
}

static PyObject *
writer_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return close_result(&buffered_points[WRITER_CLOSE], self, call_object(WRITER_CLOSE, self, NULL));
}

static PyObject *
writer_flush(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (unlikely(is_for_later(self)))
        return call_later(self, "flush", core.empty_tuple) == 0 ? Py_NewRef(Py_None) : NULL;
    return call_object(WRITER_FLUSH, self, NULL);
}

static PyObject *
writer_write(PyObject *self, PyObject *data)
{
    if (likely(!is_for_later(self)))
        return call_object(WRITER_WRITE, self, data);
    PyObject *copy = PyBytes_FromObject(data);
    PyObject *args = copy != NULL ? PyTuple_Pack(1, copy) : NULL;
    PyObject *result = call_later(self, "write", args) == 0 ? PyLong_FromSsize_t(PyBytes_GET_SIZE(copy)) : NULL;
    Py_XDECREF(args);
    Py_XDECREF(copy);
    return result;
}

/* ---- interrupts ---- */

static struct call *
call_above(const struct hub *hub, PyObject *raw)
{
    const struct fiber *self = hub->thread->current;
    for (struct call *call = calls.first; call != NULL; call = call->next)
        if (call->fiber == self && layout(call->object)->raw == raw)
            return call;
    return NULL;
}

bool
buffered_postpone(struct hub *hub, PyObject *raw, PyObject *exception)
{
    struct call *call = call_above(hub, raw);
    if (call == NULL || call->interrupt != NULL)
        return false;
    call->interrupt = exception;
    postponed++;
    return true;
}

int
buffered_raise_postponed(struct hub *hub, PyObject *raw)
{
    struct call *call = postponed > 0 ? call_above(hub, raw) : NULL;
    if (call == NULL || call->interrupt == NULL)
        return 0;
    PyErr_SetRaisedException(call->interrupt);
    call->interrupt = NULL;
    postponed--;
    return -1;
}

/* ---- installing ---- */

static bool
layout_fits(PyObject *module)
{
    enum { ODD_SIZE = 4099 };
    PyObject *raw = PyObject_CallMethod(module, "FileIO", "s", "/dev/null");
    PyObject *reader = raw != NULL ? PyObject_CallMethod(module, "BufferedReader", "Oi", raw, ODD_SIZE) : NULL;
    bool fits = reader != NULL && layout(reader)->raw == raw && layout(reader)->lock != NULL
                && layout(reader)->owner == 0 && layout(reader)->size == ODD_SIZE;
    PyObject *closed = raw != NULL ? PyObject_CallMethod(raw, "close", NULL) : NULL;
    fits = fits && closed != NULL;
    Py_XDECREF(closed);
    Py_XDECREF(reader);
    Py_XDECREF(raw);
    PyThread_type_lock lock = PyThread_allocate_lock();
    fits = fits && lock != NULL && !pointer_lock_is_taken(lock) && PyThread_acquire_lock(lock, NOWAIT_LOCK)
           && pointer_lock_is_taken(lock);
    if (fits)
        PyThread_release_lock(lock);
    if (lock != NULL)
        PyThread_free_lock(lock);
    return fits;
}

static bool
next_exchange(PyObject *module)
{
    reader_type = (PyTypeObject *)PyObject_GetAttrString(module, "BufferedReader");
    PyObject *wrapper = reader_type != NULL ? PyDict_GetItemString(reader_type->tp_dict, "__next__") : NULL;
    if (wrapper == NULL || !Py_IS_TYPE(wrapper, &PyWrapperDescr_Type)
        || ((PyWrapperDescrObject *)wrapper)->d_wrapped != (void *)reader_type->tp_iternext)
        return false;
    original_next = reader_type->tp_iternext;
    ((PyWrapperDescrObject *)wrapper)->d_wrapped = (void *)reader_next;
    reader_type->tp_iternext = reader_next;
    return true;
}

static bool
buffered_probe(void)
{
    static enum { UNKNOWN, FITS, DOES_NOT_FIT } answer;
    if (answer == UNKNOWN) {
        PyObject *module = PyImport_ImportModule("_io");
        answer = module != NULL && layout_fits(module) && next_exchange(module) ? FITS : DOES_NOT_FIT;
        Py_XDECREF(module);
    }
    return answer == FITS;
}
