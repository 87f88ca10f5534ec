/* Blocking points: C functions of the interpreter's own modules, taught to park.

   A point is an existing builtin function or method descriptor that runs our C function in place of its
   own: its method definition and vectorcall are exchanged, once, and nothing else. So every reference
   that was taken before, every call site that the interpreter has specialised and every object that
   exists is reached, whatever the order of imports. Methods that were bound to an object before (as
   threading.Condition binds those of its lock) are function objects of their own: the collector lists
   them, and they are changed along with their descriptor.

   Each asks who is calling. In a thread that has a hub, what would block tries, parks and tries again;
   in every other thread, and where nothing can block, the original runs. The original stays callable:
   a second function object with the old definition (`original`).

   Rules:
   - A *waiter* may park its caller. A *waker* (release, close, put) ends waits that it knows of, and does
     so from every thread, with a hub or without.
   - A point that is switched off runs the original, always.
   - The replacement has the name, the documentation and the text signature of the original.
   - Installing checks that each target is what the table expects (kind, name). What is not is reported
     as missing, and left alone.
   - The caller is taken to hold the GIL; no point releases it around a call that cannot block.

   A method that the standard library has in Python can be a point too, where its own code is what costs: then the
   attribute of its class becomes a method of ours, and the function is the original. Methods bound before still run the
   function, so such a point has to get along with its original on one object. */
#ifndef GOSSAMER_POINTS_H
#define GOSSAMER_POINTS_H

#include "../_core/runtime/hub.h"

enum point_kind { WAITER, WAKER };

struct point {
    const char *module, *type, *name;    /* type NULL: a function of the module */
    PyCFunction function;                /* ours, to be called as `flags` say */
    int flags;                           /* METH_... */
    enum point_kind kind;
    const char *group;                   /* what switches it: "time", "socket", "select", "thread", ... */
    bool off_at_first;                   /* on only once its group has been switched on */
    void (*switched)(bool on);           /* NULL, or called after its group has been switched */
    bool (*probe)(void);                 /* NULL, or whether the objects look inside as we expect */
    const char *signature;               /* of a method in Python: its text signature, "name($self)" */
    unsigned since, until;               /* CPython versions as 0x030d: first with it, first without; 0: any */
    /* filled in by installing */
    PyObject *original;                  /* callable as the target was */
    const PyMethodDef *before;           /* what the target had */
    PyMethodDef original_definition;     /* a copy of that, for `original` alone */
    PyMethodDef definition;
    vectorcallfunc bound_vectorcall;     /* of a function object with our definition */
    bool on;
};

/* Tables end with an entry whose module is NULL. */
extern struct point deferred_points[], sleep_points[], lock_points[], rlock_points[], condition_points[],
    socket_points[], select_points[], thread_points[], pipe_points[], process_points[], semaphore_points[],
    signal_points[], ssl_points[], resolve_points[], pooled_points[], sqlite_points[], file_points[], buffered_points[],
    splice_points[], finalizing_points[];

/* The hub of the calling thread when the point is on and there is one; NULL: call the original. */
static inline struct hub *
point_hub(const struct point *point)
{
    struct thread *thread = current_thread;
    return likely(thread != NULL) && likely(point->on) ? thread->hub : NULL;
}

/* Calls the original with the arguments that a METH_FASTCALL | METH_KEYWORDS point got: `self` goes
   before them when the target is a method. */
PyObject *point_original(const struct point *point, PyObject *self, PyObject *const *args, Py_ssize_t count,
                         PyObject *names);

/* The same for METH_O and METH_NOARGS points. */
static inline PyObject *
point_original_o(const struct point *point, PyObject *self, PyObject *argument)
{
    return point_original(point, self, &argument, 1, NULL);
}

static inline PyObject *
point_original_noargs(const struct point *point, PyObject *self)
{
    return point_original(point, self, NULL, 0, NULL);
}

/* The number that an argument counts as: an int or a float is one itself, anything else is asked for its __index__(),
   as the interpreter does (NumPy's integers are such), from 3.15 on for its __float__() too. New reference; NULL, without
   an exception, for what the original has to refuse. */
PyObject *number_from(PyObject *argument);

/* The same as seconds, or NAN. */
double seconds_from(PyObject *argument);

/* The same as an int of 0 and more, such as descriptors and flags; -1, without an exception, for all else. */
int natural_from(PyObject *argument);

/* A thread's identity as locks and get_ident() see it: a green thread's own, else the OS thread's. A raw
   greenlet shares that of the green thread, or thread, whose descendant it is. */
unsigned long current_identity(void);

/* For a call that has moved a part of its bytes when its wait ended with the pending exception, and whose caller will
   learn how many those were: true when the exception is not this call's any more. An OSError is the next call's to
   meet, as the kernel has it; a Timeout or a GreenletExit comes at the caller's next wait, the former unless it is
   cancelled by then. Any other exception is raised at once: it may be that of a timeout, and would come after the end
   of its block. With no hub, it is a signal handler's. */
bool point_put_off(struct hub *hub);

/* Installs the points of a module that has been loaded just now. Returns -1 with an exception set. */
int points_install_module(const char *name);

/* signal.c: has the signal handlers that exist already wake the hub. Returns -1 with an exception set. */
int signals_hook_existing(void);

/* Adds the table of functions for the servers' streams: stream.h. */
int streams_add(PyObject *module);

/* Makes all points and adds to the module: points(), points_switch(), original(). */
int points_ready(PyObject *module);

#endif
