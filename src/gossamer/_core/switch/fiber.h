/* The state of a greenlet and of the OS thread it belongs to.

   A *fiber* is what runs: a C stack and the interpreter state that goes with it. The Python object
   (GreenletObject) is its face; its head has the layout that greenlet publishes for C extensions, so
   everything of ours is behind one pointer.

   States of a fiber:

       FRESH --start--> STARTED --finish--> DEAD

   A STARTED fiber is running (thread->current) or parked. Invariants:
   - `python` and `sp` are valid while the fiber is parked, and stale while it runs.
   - A parked fiber's frames lie in its slot (slot->occupant == fiber) or in `copy`.
   - thread->current is never DEAD, and holds a strong reference to the running fiber's object.
   - A parked fiber holds no reference to itself: dropping the last one ends it (collect.c).
   - `thread` of a started fiber never changes until the thread ends; then it becomes NULL and the
     fiber DEAD.
   - Every started, unfinished fiber but the main one is on its thread's `started` list.
   - Between transfers, every STARTED fiber has been `entered`.
   - `run`, `args`, `kwargs` stay with the fiber while it runs, where the collector sees them.

   The thread's main fiber stands for the stack that the OS gave the thread: it is STARTED from the
   beginning, its slot is `main_slot`, of which it is the only tenant.

   How a value travels: the one who switches stores `value` and `kwargs` (message.h) in the thread and swaps; the one
   who arrives takes them out (one that starts calls `run` with them). A NULL value means that an exception is set.
   `origin` hands over the reference to the fiber that was left, which the arriving one drops. */
#ifndef GOSSAMER_FIBER_H
#define GOSSAMER_FIBER_H

#include "cpython.h"
#include "names.h"
#include "stack.h"
#include "../runtime/parking_lot.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

enum { CACHE_LINE = 64 };

/* Has memory that is needed soon brought near. Any address will do. */
static inline __attribute__((always_inline)) void
memory_fetch(const void *start, size_t size)
{
    for (size_t offset = 0; offset < size; offset += CACHE_LINE)
        __builtin_prefetch((const char *)start + offset, 1);
}

typedef struct greenlet_object {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *dict;
    struct fiber *fiber;
} GreenletObject;

enum fiber_state { FRESH, STARTED, DEAD };

/* A stack slice that was copied out: `length` bytes of stack, then `links` FrameLinks. */
struct copied_slice {
    uint32_t capacity;               /* LUGGAGE: it lies in a stack, of the slot that the word before it points to */
    uint32_t length, links;
    uint32_t heads;                  /* of lists that a collection has in it: collection.c */
    char bytes[];
};

/* What the C++ runtime calls __cxa_eh_globals. */
struct cxx_exceptions {
    void *handled;
    unsigned int uncaught;
};

/* What a switch touches comes first, then what making and ending one does: in a crowd each line of memory counts. */
struct fiber {
    void *sp;
    struct slot *slot;
    struct thread *thread;
    GreenletObject *object;          /* not owned: the object owns the fiber */
    uint8_t state;                   /* enum fiber_state */
    bool is_main;
    bool entered;                    /* has run: what it is switched to with is a result, not arguments */
    bool refuses_to_die;             /* survived GreenletExit: kept alive by an extra reference */
    uint16_t pins;                   /* > 0: its slice is never copied out (pin.c) */
    bool is_green;                   /* of a GreenThreadObject: its end is the hub's business */
    bool drops_another;              /* runs destructors of what another has left: park.c */
    PyObject *const *call_end;       /* end of the arguments while in switch(); for the collector */
    PythonState python;
    GreenletObject *parent;
    PyObject *run, *args, *kwargs;
    PyObject *struck;                /* list of interrupts that ended waits of such destructors; or NULL */
    struct fiber *next, *previous;   /* thread->started; `next` links free fibers */
    struct wait wait;
    struct copied_slice *copy;
    _PyStackChunk *root_chunk;
    struct cxx_exceptions cxx_exceptions;
#ifdef __SANITIZE_ADDRESS__
    void *fake_stack;
#endif
};

/* In place of the keyword arguments of a message: there are none, and its value is the tuple of the positional ones.
   See struct message. */
#define POSITIONAL ((PyObject *)(uintptr_t)1)

struct thread {
    struct fiber *current;
    PyThreadState *tstate;
    PyObject *value, *kwargs;        /* a struct message under way */
    bool attention;                  /* a tracer is set or doomed greenlets wait: leave the fast path */
    bool thrown;                     /* the transfer under way is a throw (for the tracer) */
    bool exchange_failed;            /* no memory to copy the running stack out: the switch is undone */
    bool gone;                       /* this is a forked child, and the thread is its parent's: thread.c */
    GreenletObject *origin;          /* NULL after a hand-off by the hub */
    GreenletObject *finished;        /* a green thread whose reference the next to arrive drops */
    GreenletObject *left;            /* by the last hand-off; not owned, for the tracer */
    struct hub *hub;
    bool making_hub;                 /* the class of hubs is being called */
    struct fiber *main;
    PyObject *tracer;
    PyObject *doomed;                /* list of greenlets whose last reference was dropped elsewhere */
    struct fiber *started;
    struct slot *free_slots;
    int free_slot_count;
    int overflow_count;
    unsigned overflow_hand;
    struct thread *next, *previous;  /* core.threads */
    uint64_t number;                 /* no other thread has it, before or after */
    bool moves_cxx_exceptions;       /* there is a C++ runtime (cxx_exceptions.c); for good */
    bool moves_own_state;            /* switches ask whose own state is wanted (own_state.c); for good */
    struct green_thread_object *local_owner, *loop_owner;  /* whose is loaded; NULL: the OS thread's own */
    LocalState local;                /* the OS thread's own, while another is loaded */
    LoopState loop;
    struct slot main_slot;
    struct slot *overflow[OVERFLOW_SLOTS];
};

/* Fibers to be used again, the last one first, linked by `next`. */
struct free_list {
    struct fiber *first;
    int count;
};

/* The same for crowds: one sees from afar who comes next. */
struct kept_list {
    struct fiber **fibers;
    uint32_t count, room;
};

/* The state of the one interpreter that may import the core. Guarded by its GIL. */
struct core {
    PyObject *greenlet_exit, *error;
    PyObject *loop_exit, *blocking_switch_out_error, *invalid_switch_error;
    int (*first_hub_hook)(void);     /* called once, when a thread gets the first hub; then NULL */
    unsigned long first_hub_maker;   /* the OS thread that makes that call, for which others wait; or 0 */
    PyObject *hub_class;             /* what get_hub() makes: Hub_Type or a subclass */
    PyTypeObject *green_class;       /* the subclass of GreenThread_Type that spawn() makes without asking it; or NULL */
    PyObject *spawn_hook;            /* called with each green thread of that class or below at its start; or NULL */
    PyObject *empty_tuple;
    PyObject *str_run;
    PyObject *str_run_method;        /* _run, of subclasses of green threads */
    PyObject *c_api;                 /* the capsule */
    struct cxx_exceptions *(*cxx_globals)(void);  /* the calling thread's, in the C++ runtime; NULL: not found yet */
    char *scratch;                   /* top of the stack on which slices are exchanged */
    struct thread *threads;
    uint64_t threads_so_far;
    struct free_list free_greenlets; /* with an object of exactly Greenlet_Type */
    struct kept_list kept_green_threads;  /* with one of the size of a GreenThreadObject */
    Py_ssize_t alive;                /* started and unfinished, mains not included */
    Py_ssize_t copied_out;
    Py_ssize_t leaked;
    struct parking_lot lot;
    struct put_off *put_off;         /* interrupts: import_lock.c */
    Py_ssize_t promises, pool_threads;  /* promise.c */
    bool green_threads_own_locals;   /* thread locals belong to the green thread: own_state.c */
    uint64_t own_states;             /* a count: 0 while none was ever moved; see own_state.c */
    void (*identity_ended)(PyObject *green_thread);  /* called at the end of one whose identity was asked, or NULL */
};
extern struct core core;

extern PyTypeObject Greenlet_Type;
#define Greenlet_Check(object) PyObject_TypeCheck(object, &Greenlet_Type)

/* ---- thread.c ---- */
extern __thread struct thread *current_thread __attribute__((tls_model("initial-exec")));

/* This OS thread's state, made at first use. NULL with an exception set. */
struct thread *thread_make(void);

static inline struct thread *
thread_get(void)
{
    struct thread *thread = current_thread;
    return likely(thread != NULL) ? thread : thread_make();
}

/* The thread of a fiber: for one that has not started, that of the first started ancestor.
   NULL when that thread has ended. */
struct thread *fiber_thread(const struct fiber *fiber);

void thread_set_attention(struct thread *thread);

/* At the first import: from now on a forked child knows which threads are gone. Returns -1 with an exception set. */
int threads_ready(void);

/* ---- fiber_memory.c ---- */
/* NULL, without an exception, when there is no memory. */
struct fiber *fiber_memory_take(void);
/* The same for a green thread's object, all zero, with its fiber behind it. NULL also in builds that want objects
   elsewhere. */
GreenletObject *green_thread_memory_take(void);
/* That of an object with its fiber is both's. */
bool object_is_with_fiber(const GreenletObject *object);
void fiber_memory_give(struct fiber *fiber);

/* ---- slice.c: copying stack slices out and in ---- */
static inline size_t
fiber_slice_size(const struct fiber *fiber)
{
    return (size_t)(fiber->slot->top - (char *)fiber->sp);
}

static inline bool
fiber_is_resident(const struct fiber *fiber)
{
    return fiber->slot->occupant == fiber;
}

void slice_copy_in(struct fiber *fiber);
void slice_discard(struct fiber *fiber);
/* A fiber that starts in an occupied slot begins as a copied-out slice of `length` bytes: returns
   where to write them, NULL with MemoryError set. */
char *slice_new(struct fiber *fiber, size_t length);

/* ---- collection.c: what a garbage collection that is parked in a slice needs when that is copied ---- */
void collection_copied_out(struct fiber *fiber);
void collection_copied_in(struct fiber *fiber);

/* Copies out whoever is in the slot. Returns -1, without an exception, when there is no memory. */
int occupant_copy_out(struct slot *slot);
/* The same without memory, as luggage in `carrier`, the slot of a fiber that has finished. Returns -1 when it does not
   fit: it uses all of its stack but a little. */
int occupant_copy_into(struct slot *slot, struct slot *carrier);

/* ---- pin.c ---- */
/* Pins the running fiber until fiber_unpin(), as often as it is called. Returns false when it shares its slot with
   others: whatever needs it pinned must not park then. */
bool fiber_pin(struct thread *thread);
void fiber_unpin(struct thread *thread);
PyObject *core_pin(PyObject *module, PyObject *ignored);
PyObject *core_unpin(PyObject *module, PyObject *ignored);

/* ---- life.c ---- */
void started_unlink(struct thread *thread, struct fiber *fiber);

/* ---- transfer.c ---- */
/* Switches to `target` (or its first live ancestor). The value lies in the thread, or an exception is
   set and thread->value is NULL. Returns what the current fiber is resumed with. */
PyObject *fiber_transfer(struct thread *thread, struct fiber *target);

PyObject *greenlet_switch_args(GreenletObject *greenlet, PyObject *args, PyObject *kwargs);
PyObject *Greenlet_switch(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);

/* ---- throw.c ---- */
PyObject *greenlet_throw_error(GreenletObject *greenlet, PyObject *type, PyObject *value, PyObject *traceback);
PyObject *Greenlet_throw(PyObject *self, PyObject *const *args, Py_ssize_t count);

/* ---- collect.c ---- */
/* A new FRESH greenlet of `type` whose parent is the thread's current one. */
GreenletObject *greenlet_alloc(PyTypeObject *type);
int Greenlet_traverse(PyObject *self, visitproc visit, void *arg);
int Greenlet_clear(PyObject *self);
void Greenlet_finalize(PyObject *self);
void Greenlet_dealloc(PyObject *self);

/* First thing in the tp_dealloc of a subtype: ends a parked greenlet. Returns false when it lives on. */
bool greenlet_may_go(PyObject *self);

/* Ends a parked fiber of the calling thread with GreenletExit. One that survives is marked so. */
void fiber_end(struct thread *thread, struct fiber *fiber);
/* Ends the greenlets that other threads left for this one. */
void thread_end_doomed(struct thread *thread);
/* Gives up a parked fiber whose thread has gone: no Python code runs, its references are lost. */
void fiber_abandon(struct fiber *fiber);

/* ---- trace.c ---- */
PyObject *core_settrace(PyObject *module, PyObject *tracer);
PyObject *core_gettrace(PyObject *module, PyObject *ignored);
/* Tells the tracer of a transfer that has just arrived. Returns the value to go on with; for a hand-off
   by the hub 0, or -1 with an exception set. */
int trace_hand_off(struct thread *thread);
PyObject *trace_arrival(struct thread *thread, GreenletObject *origin, PyObject *value);

/* ---- introspect.c ---- */
PyObject *fiber_frame(struct fiber *fiber);
PyObject *Greenlet_get_frame(PyObject *self, void *closure);
PyObject *Greenlet_get_context(PyObject *self, void *closure);
int Greenlet_set_context(PyObject *self, PyObject *context, void *closure);
PyObject *Greenlet_repr(PyObject *self);
PyObject *core_frames(PyObject *module, PyObject *ignored);
PyObject *core_counts(PyObject *module, PyObject *ignored);

/* ---- greenlet_type.c ---- */
int greenlet_set_parent(GreenletObject *greenlet, PyObject *parent);
PyObject *greenlet_new(PyObject *run, PyObject *parent);
int greenlet_type_ready(PyObject *module);

/* ---- cxx_exceptions.c ---- */
/* If the C++ runtime has been loaded, its record of exceptions is one for each greenlet from now on. */
void cxx_exceptions_look_for(void);
void cxx_exceptions_exchange(struct fiber *leaving, struct fiber *target);

/* ---- c_api.c ---- */
/* For an extension that has been loaded: new reference, or NULL with MemoryError set. */
PyObject *c_api_capsule(void);

#endif
