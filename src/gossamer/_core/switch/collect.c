/* Memory of greenlets: made, shown to the garbage collector, ended and freed.

   A greenlet that nobody can reach any more while it is parked is ended: GreenletExit is thrown into it,
   in its own thread, with the greenlet that happens to run as its parent for the time, so that its
   `finally` blocks run. "Nobody" includes its own frames: the collector is shown the locals of a parked
   greenlet's frames, so that a cycle through them is found like any other.

   One that survives GreenletExit, and that nobody refers to, is kept alive by an extra reference and counted as leaked; its frames
   refer to objects that the collector may otherwise take apart. */
#include "fiber.h"
#include "datastack.h"
#include "../runtime/hub.h"

#include <stdlib.h>
#include <string.h>

/* What is kept of the memory that a crowd leaves behind: 2 and 60 MB at most. AddressSanitizer sees who uses what has
   been freed, and not who uses what lies on a list. */
#ifdef __SANITIZE_ADDRESS__
enum { FREE_GREENLETS_KEPT = 0, GREEN_THREADS_KEPT = 0 };
#else
enum { FREE_GREENLETS_KEPT = 4096, GREEN_THREADS_KEPT = 128 * 1024 };
#endif

/* ---- free lists ---- */

static struct fiber *
free_list_take(struct free_list *list)
{
    struct fiber *fiber = list->first;
    if (fiber != NULL) {
        list->first = fiber->next;
        list->count--;
    }
    return fiber;
}

static bool
free_list_give(struct free_list *list, int most, struct fiber *fiber)
{
    if (list->count >= most)
        return false;
    fiber->next = list->first;
    list->first = fiber;
    list->count++;
    return true;
}

/* In a crowd they are not in the processor's caches, and a spawn takes less time than fetching them does. */
static inline void
kept_list_fetch_ahead(const struct kept_list *list)
{
    enum { OBJECTS = 4, FIBERS = 8 };
    if (list->count <= FIBERS)
        return;
    memory_fetch(list->fibers[list->count - FIBERS], sizeof(struct fiber));
    memory_fetch(list->fibers[list->count - OBJECTS]->object, sizeof(GreenThreadObject));
}

static struct fiber *
kept_list_take(struct kept_list *list)
{
    if (list->count == 0)
        return NULL;
    struct fiber *fiber = list->fibers[--list->count];
    kept_list_fetch_ahead(list);
    return fiber;
}

static bool
kept_list_grow(struct kept_list *list, uint32_t most)
{
    uint32_t room = list->room > 0 ? list->room * 2 : 256;
    struct fiber **fibers = room <= most ? realloc(list->fibers, (size_t)room * sizeof *fibers) : NULL;
    if (fibers == NULL)
        return false;
    list->fibers = fibers;
    list->room = room;
    return true;
}

static bool
kept_list_give(struct kept_list *list, uint32_t most, struct fiber *fiber)
{
    if (list->count == list->room && !kept_list_grow(list, most))
        return false;
    list->fibers[list->count++] = fiber;
    return true;
}

/* ---- making ---- */

/* Green threads come and go in crowds, larger than what the allocator keeps: it would give their memory back to the
   system each time, and a page that comes from there costs more than the green threads in it. */
static bool
object_is_of_green_thread(const PyTypeObject *type)
{
    return (type == core.green_class || type == &GreenThread_Type)
        && type->tp_basicsize == sizeof(GreenThreadObject);
}

static struct fiber *
kept_take(PyTypeObject *type)
{
    if (type == &Greenlet_Type)
        return free_list_take(&core.free_greenlets);
    return object_is_of_green_thread(type) ? kept_list_take(&core.kept_green_threads) : NULL;
}

static GreenletObject *
object_reuse(PyTypeObject *type)
{
    struct fiber *fiber = kept_take(type);
    if (fiber == NULL)
        return NULL;
    object_revive((PyObject *)fiber->object, type);
    PyObject_GC_Track(fiber->object);
    return fiber->object;
}

static bool
kept_give(const PyTypeObject *type, struct fiber *fiber)
{
    if (type == &Greenlet_Type)
        return free_list_give(&core.free_greenlets, FREE_GREENLETS_KEPT, fiber);
    return object_is_of_green_thread(type)
        && kept_list_give(&core.kept_green_threads, GREEN_THREADS_KEPT, fiber);
}

/* As new, but for its reference count and type. Returns false when there are enough of them. */
static bool
object_keep(GreenletObject *object)
{
    const PyTypeObject *type = Py_TYPE(object);
    struct fiber *fiber = object->fiber;
    if (!kept_give(type, fiber))
        return false;
    fiber->state = FRESH;
    fiber->entered = fiber->is_main = fiber->refuses_to_die = fiber->drops_another = false;
    fiber->pins = 0;
    fiber->wait = (struct wait){0};
    fiber->thread = NULL;
    fiber->slot = NULL;
    memset(object + 1, 0, (size_t)type->tp_basicsize - sizeof *object);
    object_forget_finalized((PyObject *)object);
    return true;
}

/* NULL, without an exception, where it cannot lie with its fiber. */
static GreenletObject *
green_thread_new_object(PyTypeObject *type)
{
    GreenletObject *object = green_thread_memory_take();
    if (object == NULL)
        return NULL;
    PyObject_Init((PyObject *)object, type);
    *object->fiber = (struct fiber){.object = object};
    PyObject_GC_Track(object);
    return object;
}

static GreenletObject *
object_new(PyTypeObject *type)
{
    GreenletObject *object = (GreenletObject *)type->tp_alloc(type, 0);
    if (object == NULL)
        return NULL;
    object->fiber = fiber_memory_take();
    if (object->fiber == NULL) {
        Py_DECREF(object);
        return (GreenletObject *)PyErr_NoMemory();
    }
    *object->fiber = (struct fiber){.object = object};
    return object;
}

GreenletObject *
greenlet_alloc(PyTypeObject *type)
{
    GreenletObject *object = object_reuse(type);
    if (object == NULL && object_is_of_green_thread(type))
        object = green_thread_new_object(type);
    return object != NULL ? object : object_new(type);
}

/* ---- the collector's view ---- */

static bool
is_parked(const struct fiber *fiber)
{
    return fiber->state == STARTED && fiber->thread->current != fiber;
}

static int
parked_traverse(struct fiber *fiber, visitproc visit, void *arg)
{
    Py_VISIT(fiber->python.context);
    if (fiber->is_main)
        return 0;                    /* its frames and handled exceptions hang off the thread state */
    Py_VISIT(fiber->python.exc_base.exc_value);
    InterpreterFrame *frame = python_state_frame(&fiber->python, !fiber_is_resident(fiber));
    PyObject *const *call_end = fiber->call_end;
    for (; frame != NULL; frame = frame->previous) {
        int result = frame_traverse(frame, call_end, visit, arg);
        if (result != 0)
            return result;
        call_end = NULL;             /* it was the innermost frame that called */
    }
    return 0;
}

int
Greenlet_traverse(PyObject *self, visitproc visit, void *arg)
{
    GreenletObject *object = (GreenletObject *)self;
    struct fiber *fiber = object->fiber;
    Py_VISIT(object->dict);
    if (fiber == NULL)
        return 0;
    Py_VISIT(fiber->parent);
    Py_VISIT(fiber->run);
    Py_VISIT(fiber->args);
    Py_VISIT(fiber->kwargs);
    Py_VISIT(fiber->struck);
    Py_VISIT(fiber->wait.interrupt);
    if (is_parked(fiber))
        return !fiber->thread->gone ? parked_traverse(fiber, visit, arg) : 0;
    if (fiber->state != STARTED)
        Py_VISIT(fiber->python.context);
    return 0;
}

/* A started greenlet needs its parent and what it runs until it is ended: tp_finalize has had its turn. */
int
Greenlet_clear(PyObject *self)
{
    GreenletObject *object = (GreenletObject *)self;
    struct fiber *fiber = object->fiber;
    if (fiber == NULL || fiber->state == STARTED)
        return 0;
    Py_CLEAR(object->dict);
    Py_CLEAR(fiber->run);
    Py_CLEAR(fiber->args);
    Py_CLEAR(fiber->kwargs);
    Py_CLEAR(fiber->parent);
    Py_CLEAR(fiber->python.context);
    return 0;
}

/* ---- ending ---- */

static void
fiber_leak(struct fiber *fiber)
{
    fiber->refuses_to_die = true;
    Py_INCREF(fiber->object);
    core.leaked++;
}

void
fiber_end(struct thread *thread, struct fiber *fiber)
{
    PyObject *pending = PyErr_GetRaisedException();
    GreenletObject *object = (GreenletObject *)Py_NewRef((PyObject *)fiber->object);
    GreenletObject *parent = fiber->parent;
    fiber->parent = (GreenletObject *)Py_NewRef((PyObject *)thread->current->object);
    PyObject *result = greenlet_throw_error(object, core.greenlet_exit, NULL, NULL);
    if (result == NULL)
        PyErr_WriteUnraisable((PyObject *)object);
    else
        Py_DECREF(result);
    Py_XSETREF(fiber->parent, parent);
    Py_DECREF(object);
    if (pending != NULL)
        PyErr_SetRaisedException(pending);
}

/* Leaves a parked fiber to its own thread, which ends it at its next switch, or on its hub greenlet. */
static void
fiber_doom(struct fiber *fiber)
{
    PyObject *pending = PyErr_GetRaisedException();
    int collector_was_on = PyGC_Disable();  /* no code may run: the owner might end meanwhile */
    struct thread *owner = fiber->thread;
    if (owner->doomed == NULL)
        owner->doomed = PyList_New(0);
    if (owner->doomed == NULL || PyList_Append(owner->doomed, (PyObject *)fiber->object) < 0) {
        PyErr_Clear();
        fiber_leak(fiber);           /* no memory to remember it: lost, but whole */
    }
    thread_set_attention(owner);
    if (owner->hub != NULL && owner->doomed != NULL && PyList_GET_SIZE(owner->doomed) == 1)
        hub_end_doomed(owner->hub);
    if (collector_was_on)
        PyGC_Enable();
    if (pending != NULL)
        PyErr_SetRaisedException(pending);
}

void
thread_end_doomed(struct thread *thread)
{
    PyObject *doomed = thread->doomed;
    thread->doomed = NULL;
    thread_set_attention(thread);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(doomed); i++) {
        struct fiber *fiber = ((GreenletObject *)PyList_GET_ITEM(doomed, i))->fiber;
        if (is_parked(fiber))
            fiber_end(thread, fiber);
    }
    Py_DECREF(doomed);
}

/* Kept frame objects must not lead into a stack that somebody else will use. */
static void
frames_leave_stack(struct fiber *fiber)
{
    FrameLink link;
    const struct slot *slot = fiber->slot;
    for (InterpreterFrame *frame = python_state_frame(&fiber->python, false); frame != NULL;) {
        if (frame_links(frame, slot->low, slot->top, &link, 1) == 0)
            return;
        frame_links_cut(&link, 1, slot->low, slot->top);
        frame = link.frame->previous;
    }
}

void
fiber_abandon(struct fiber *fiber)
{
    struct thread *thread = fiber->thread;
    struct slot *slot = fiber->slot;
    bool stack_is_in_use = fiber == thread->current;  /* by a thread that hangs since the interpreter's exit */
    if (!stack_is_in_use)
        frames_leave_thread(python_state_frame(&fiber->python, slot->occupant != fiber), thread->tstate);
    if (slot->occupant != fiber)
        core.copied_out--;
    else if (!stack_is_in_use)
        frames_leave_stack(fiber);
    slice_discard(fiber);
    if (!stack_is_in_use) {
        if (slot->occupant == fiber)
            slot->occupant = NULL;
        slot_release(thread, slot);
    }
    fiber->slot = NULL;
    wait_queue_remove(fiber);        /* the owner of the queue may live on */
    fiber->wait.state = NOT_WAITING;
    fiber->python.context = NULL;
    fiber->root_chunk = NULL;        /* its frames may be referred to: lost with them */
    started_unlink(thread, fiber);
    fiber->thread = NULL;
    fiber->state = DEAD;
    if (!fiber->refuses_to_die)
        core.leaked++;
}

void
Greenlet_finalize(PyObject *self)
{
    struct fiber *fiber = ((GreenletObject *)self)->fiber;
    if (fiber == NULL || fiber->is_main || !is_parked(fiber))
        return;
    if (fiber->thread->gone) {
        fiber_abandon(fiber);        /* before the interpreter comes to its thread */
        return;
    }
    if (fiber->thread != current_thread) {
        fiber_doom(fiber);
        return;
    }
    bool last_reference = Py_REFCNT(self) == 1;
    fiber_end(fiber->thread, fiber);
    if (fiber->state != STARTED || fiber->refuses_to_die)
        return;
    if (last_reference && Py_REFCNT(self) > 1)
        object_forget_finalized(self);  /* it has seen to it that it is referred to again: its right */
    else
        fiber_leak(fiber);
}

/* ---- freeing ---- */

/* Ends a parked greenlet whose last reference is gone. Returns false when it lives on. Not only
   through tp_finalize: a subclass with __del__ has its own, and a greenlet can be lost twice. */
static bool
last_words(PyObject *self)
{
    struct fiber *fiber = ((GreenletObject *)self)->fiber;
    if (fiber == NULL || fiber->state != STARTED)
        return true;
    Py_SET_REFCNT(self, 1);
    Greenlet_finalize(self);
    if (Py_REFCNT(self) == 1) {
        Py_SET_REFCNT(self, 0);
        return true;
    }
    Py_SET_REFCNT(self, Py_REFCNT(self) - 1);
    return false;
}

bool
greenlet_may_go(PyObject *self)
{
    if (last_words(self))
        return true;
    /* subtype_dealloc is about to drop the type's reference for an object that lives on */
    if (Py_TYPE(self)->tp_flags & Py_TPFLAGS_HEAPTYPE)
        Py_INCREF(Py_TYPE(self));
    if (!PyObject_GC_IsTracked(self))
        PyObject_GC_Track(self);
    return false;
}

static void
greenlet_free(GreenletObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (object->weakrefs != NULL)
        PyObject_ClearWeakRefs((PyObject *)object);
    Py_CLEAR(object->dict);
    struct fiber *fiber = object->fiber;
    if (fiber != NULL) {
        Py_CLEAR(fiber->run);
        Py_CLEAR(fiber->args);
        Py_CLEAR(fiber->kwargs);
        Py_CLEAR(fiber->parent);
        Py_CLEAR(fiber->python.context);
        Py_CLEAR(fiber->struck);
        Py_CLEAR(fiber->wait.interrupt);
        if (object_keep(object))
            return;
        bool is_both = object_is_with_fiber(object);
        fiber_memory_give(fiber);
        if (is_both)
            return;
    }
    type->tp_free(object);
}

/* Its parent may go with it, and that one's: as many as there are of them are not to need stack for each. */
void
Greenlet_dealloc(PyObject *self)
{
    if (!greenlet_may_go(self))
        return;
    if (PyObject_GC_IsTracked(self))
        PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, Greenlet_dealloc)
    greenlet_free((GreenletObject *)self);
    Py_TRASHCAN_END
}
