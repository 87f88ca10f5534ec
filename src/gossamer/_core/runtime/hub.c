/* The hub's life, and the loop of the hub greenlet: see hub.h. */
#include "hub.h"
#include "signals.h"
#include "watch.h"
#include "../switch/transfer.h"

#include <stdlib.h>
#include <string.h>

/* ---- making and freeing ---- */

static GreenletObject *
home_new(struct thread *thread)
{
    thread->making_hub = true;
    PyObject *object = PyObject_CallNoArgs(core.hub_class);
    if (object != NULL && !PyObject_TypeCheck(object, &Hub_Type)) {
        PyErr_Format(PyExc_TypeError, "the hub class must make a Hub, not %s", Py_TYPE(object)->tp_name);
        Py_CLEAR(object);
    }
    GreenletObject *home = (GreenletObject *)object;
    if (home != NULL)
        Py_XSETREF(home->fiber->parent, (GreenletObject *)Py_NewRef((PyObject *)thread->main->object));
    /* at once: a parked stack is no place to look up attributes */
    PyObject *run = home != NULL ? PyObject_GetAttr(object, core.str_run) : NULL;
    if (home != NULL && (run == NULL || fiber_start(thread, home->fiber, run) < 0))
        Py_CLEAR(home);
    thread->making_hub = false;
    return home;
}

void
thread_nap(void)
{
    struct timespec millisecond = {0, 1000000};
    Py_BEGIN_ALLOW_THREADS
    nanosleep(&millisecond, NULL);
    Py_END_ALLOW_THREADS
}

/* The hook runs Python code, and so do other threads meanwhile: none of them gets a hub before it is through. Green
   threads among points half of which are installed would be known by two identities. */
static int
first_hub(void)
{
    unsigned long self = PyThread_get_thread_ident();
    while (core.first_hub_maker != 0 && core.first_hub_maker != self)
        thread_nap();
    if (core.first_hub_hook == NULL || core.first_hub_maker == self)
        return 0;
    core.first_hub_maker = self;
    int result = core.first_hub_hook();
    core.first_hub_maker = 0;
    if (result == 0)
        core.first_hub_hook = NULL;
    return result;
}

struct hub *
hub_make(struct thread *thread)
{
    if (thread->making_hub) {
        PyErr_SetString(PyExc_RuntimeError, "the hub cannot be used by its own class while it is being made");
        return NULL;
    }
    if (first_hub() < 0)
        return NULL;
    if (thread->hub != NULL)         /* code that ran there has asked for it */
        return thread->hub;
    cxx_exceptions_look_for();
    struct hub *hub = calloc(1, sizeof *hub);
    ring_entry *entries = malloc(64 * sizeof *entries);
    if (hub == NULL || entries == NULL) {
        free(hub);
        free(entries);
        PyErr_NoMemory();
        return NULL;
    }
    hub->thread = thread;
    hub->ring = (struct ring){entries, 63, 0, 0};
    hub->turns = POLL_TURNS;
    hub->calls = CALLS_A_LOOK;
    pthread_mutex_init(&hub->remote.lock, NULL);
    if (poller_open(&hub->poller) == 0 && (hub->object = home_new(thread)) != NULL) {
        hub->home = hub->object->fiber;
        thread->hub = hub;
        signals_attach(hub);
        return hub;
    }
    poller_close(&hub->poller);
    free(entries);
    free(hub);
    return NULL;
}

void
hub_replace_home(struct hub *hub)
{
    if (hub->closing)
        return;
    PyObject *pending = PyErr_GetRaisedException();
    GreenletObject *fresh = home_new(hub->thread);
    if (fresh != NULL) {
        GreenletObject *before = hub->object;
        hub->object = fresh;
        hub->home = fresh->fiber;
        Py_DECREF(before);           /* thread->current holds it while it ends */
    }
    else {
        PyErr_WriteUnraisable((PyObject *)hub->object);
    }
    if (pending != NULL)
        PyErr_SetRaisedException(pending);
}

static void
entry_drop(ring_entry entry)
{
    struct fiber *fiber = (struct fiber *)entry;
    if (entry_is_watch(entry)) {
        watch_entry_forget(entry_watch(entry));
        Py_DECREF(entry_watch(entry)->owner);
        return;
    }
    if (entry & 1) {
        Py_DECREF((PyObject *)(entry & ~(ring_entry)1));
        return;
    }
    fiber->wait.state = NOT_WAITING;
    green_thread_track(fiber->object);
    Py_DECREF(fiber->object);
}

static void
callback_drop(struct timer *timer)
{
    CallbackObject *callback = (CallbackObject *)((char *)timer - offsetof(CallbackObject, timer));
    callback->hub = NULL;
    Py_CLEAR(callback->function);    /* whom it would have started may know it */
    Py_CLEAR(callback->args);
    Py_DECREF(callback);
}

/* What is still in the timer heap are callbacks and watches: every fiber has been ended or given up before. Each may be
   freed with its timer when it is dropped. */
static void
timers_drop(struct timers *timers)
{
    while (timers->count > 0) {
        struct timer *timer = timers->heap[0].timer;
        timers_remove(timers, timer);
        if (timer->owner == TIMER_OF_WATCH)
            watch_timer_drop(timer);
        else if (timer->owner == TIMER_OF_CALL)
            callback_drop(timer);
    }
    free(timers->heap);
    timers->heap = NULL;
}

void
hub_free(struct thread *thread)
{
    struct hub *hub = thread->hub;
    thread->hub = NULL;
    thread->making_hub = true;
    signals_detach(hub);
    do {
        hub_take_remote(hub);
        while (hub->ring.head != hub->ring.tail)
            entry_drop(hub->ring.entries[hub->ring.head++ & hub->ring.mask]);
    } while (hub->remote.count > 0);
    timers_drop(&hub->timers);
    watches_drop(hub);
    poller_close(&hub->poller);
    free(hub->ring.entries);
    free(hub->remote.entries);
    pthread_mutex_destroy(&hub->remote.lock);
    Py_XDECREF(hub->driver_reference);
    Py_DECREF(hub->object);
    free(hub);
}

/* Other threads are gone, and with them whoever held the lock. */
int
hub_after_fork(struct hub *hub)
{
    pthread_mutex_init(&hub->remote.lock, NULL);
    hub->remote.sleeping = false;
    if (hub->forks_alone)
        hub_leave_others(hub);
    int result = poller_after_fork(&hub->poller);
    signals_after_fork(hub);
    return result;
}

static void
leave_behind(struct hub *hub, struct fiber *fiber)
{
    if (fiber == hub->thread->current)
        return;
    wait_queue_remove(fiber);
    timers_remove(&hub->timers, &fiber->wait.timer);
    fiber->wait.state = NOT_WAITING;
    fiber->wait.unlisted = false;
    green_thread_track(fiber->object);
}

void
hub_leave_others(struct hub *hub)
{
    struct ring *ring = &hub->ring;
    hub_take_remote(hub);
    for (; ring->head != ring->tail; ring->head++) {
        ring_entry entry = ring->entries[ring->head & ring->mask];
        if (entry_is_watch(entry))
            watch_entry_forget(entry_watch(entry));
        else if (!(entry & 1))
            leave_behind(hub, (struct fiber *)entry);
    }
    leave_behind(hub, hub->thread->main);
    for (struct fiber *fiber = hub->thread->started; fiber != NULL; fiber = fiber->next)
        leave_behind(hub, fiber);
    while (hub->timers.count > 0) {
        struct timer *timer = hub->timers.heap[0].timer;
        timers_remove(&hub->timers, timer);
        if (timer->owner == TIMER_OF_WATCH)
            watch_timer_leave(timer);
        else if (timer->owner == TIMER_OF_CALL)
            ((CallbackObject *)((char *)timer - offsetof(CallbackObject, timer)))->hub = NULL;
    }
    watches_leave(hub);
    hub->poller.waiting = 0;
    hub->foreign = 0;
    hub->unreferenced = hub->unlisted = hub->remote.count = 0;
    hub->attention = hub->signals = hub->deadlocked = false;
}

/* ---- what runs on the hub greenlet ---- */

void
hub_report_error(struct hub *hub, PyObject *context)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *traceback = PyException_GetTraceback(exception);
    PyObject *details[] = {context, (PyObject *)Py_TYPE(exception), exception, traceback != NULL ? traceback : Py_None};
    PyObject *result = call_method_named((PyObject *)hub->object, "handle_error", details, 4);
    Py_XDECREF(traceback);
    if (result == NULL)
        PyErr_WriteUnraisable(context);
    Py_XDECREF(result);
    Py_DECREF(exception);
}

void
callback_run(struct hub *hub, CallbackObject *callback)
{
    PyObject *function = callback->function, *args = callback->args;
    callback->function = callback->args = NULL;
    if (function == NULL)
        return;                      /* stopped meanwhile */
    /* if it leaves by an explicit switch: whoever waits first comes back here, and the callback goes on */
    hub->attention = true;
    PyObject *result = PyObject_Call(function, args, NULL);
    if (result == NULL)
        hub_report_error(hub, (PyObject *)callback);
    hub->attention = hub->signals || hub->deadlocked;
    Py_XDECREF(result);
    Py_DECREF(function);
    Py_DECREF(args);
}

/* One after the other, in the order in which they came. */
void
hub_deliver_to_main(struct hub *hub)
{
    struct fiber *main = hub->thread->main;
    PyObject *exception = PyErr_GetRaisedException();
    bool interrupted = main->wait.interrupt == NULL && hub_interrupt(main, exception);
    if (!interrupted && green_thread_throw_later(hub, main->object, exception) < 0)
        PyErr_WriteUnraisable((PyObject *)hub->object);
    Py_DECREF(exception);
}

static void
raise_loop_exit(struct hub *hub)
{
    PyObject *text = report_parked(hub);
    if (text != NULL) {
        PyErr_SetObject(core.loop_exit, text);
        Py_DECREF(text);
    }
    hub_deliver_to_main(hub);
}

static PyObject *
handle_signals(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = ((GreenletObject *)object)->fiber->thread->hub;
    if (PyErr_CheckSignals() < 0) {
        if (PyErr_ExceptionMatches(core.greenlet_exit))
            return NULL;             /* the greenlet is ended while a handler waits */
        hub_deliver_to_main(hub);
    }
    while (hub->pausing.first != NULL)
        hub_unpark(hub->pausing.first, UNPARKED);
    Py_RETURN_NONE;
}

static PyMethodDef handle_signals_def = {"handle_signals", handle_signals, METH_NOARGS, NULL};

/* Python's signal handlers run on a greenlet of their own, so that they may wait. As that is no green thread, they
   are what they are in any program: code of the main thread, with its thread locals and the RLocks it holds. */
static void
start_handling_signals(struct hub *hub)
{
    PyObject *function = PyCFunction_New(&handle_signals_def, (PyObject *)hub->object);
    PyObject *greenlet = function != NULL
        ? PyObject_CallFunctionObjArgs((PyObject *)&Greenlet_Type, function, hub->object, NULL) : NULL;
    PyObject *enter = attribute_named(greenlet, "switch");
    CallbackObject *callback = enter != NULL ? callback_new(enter, core.empty_tuple) : NULL;
    if (callback != NULL)
        callback_run(hub, callback);
    else
        hub_deliver_to_main(hub);
    Py_XDECREF(callback);
    Py_XDECREF(enter);
    Py_XDECREF(greenlet);
    Py_XDECREF(function);
}

static PyObject *
end_doomed(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    if (current_thread->doomed != NULL)
        thread_end_doomed(current_thread);
    Py_RETURN_NONE;
}

static PyMethodDef end_doomed_def = {"end_doomed", end_doomed, METH_NOARGS, NULL};

void
hub_end_doomed(struct hub *hub)
{
    PyObject *function = PyCFunction_New(&end_doomed_def, NULL);
    CallbackObject *callback = function != NULL ? callback_new(function, core.empty_tuple) : NULL;
    Py_XDECREF(function);
    if (callback == NULL || hub_call_soon(hub, callback) < 0)
        PyErr_Clear();               /* no memory: they wait for a switch */
}

static void
see_to_attention(struct hub *hub)
{
    hub->attention = false;
    if (hub->signals) {
        hub->signals = false;
        start_handling_signals(hub);
    }
    if (hub->deadlocked) {
        hub->deadlocked = false;
        raise_loop_exit(hub);
    }
}

/* A bare greenlet has ended by an error, long after the callback that started it had returned. */
static int
report_ended(struct hub *hub, GreenletObject *ended)
{
    hub->attention = true;           /* as in callback_run() */
    hub_report_error(hub, (PyObject *)ended);
    hub->attention = hub->signals || hub->deadlocked;
    return 0;
}

/* After control has come back to the hub greenlet. Somebody who switched to it explicitly brings a value
   that nobody asked for, or throws: then the loop ends. */
static int
hub_arrive(struct thread *thread)
{
    if (thread->origin == NULL) {
        int traced = thread->tracer != NULL ? trace_hand_off(thread) : 0;
        drop_finished(thread);
        return traced;
    }
    GreenletObject *origin = (GreenletObject *)Py_NewRef((PyObject *)thread->origin);
    PyObject *value = arrive(thread);
    int result = value != NULL ? 0 : -1;
    if (unlikely(value == NULL && origin->fiber->state == DEAD))
        result = report_ended(thread->hub, origin);
    Py_XDECREF(value);
    Py_DECREF(origin);
    return result;
}

static int
run_fiber(struct hub *hub, struct fiber *fiber)
{
    struct thread *thread = hub->thread;
    if (fiber->state == FRESH && fiber->wait.state == READY && fiber_start(thread, fiber, fiber->run) < 0)
        green_thread_fail(hub, fiber);
    if (fiber->state != STARTED || fiber->wait.state != READY) {
        Py_DECREF(fiber->object);    /* went on some other way, and left its entry behind */
        return 0;
    }
    Py_DECREF(hub->home->object);    /* thread->current's; the hub has one of its own */
    if (!fiber_hand_off(thread, fiber)) {
        Py_INCREF(hub->home->object);
        hub_make_ready(hub, fiber);
        return 0;
    }
    return hub_arrive(thread);
}

static int
hub_turn(struct hub *hub)
{
    struct ring *ring = &hub->ring;
    if (hub->attention) {
        see_to_attention(hub);
        return 0;
    }
    if (--hub->turns <= 0) {
        hub->turns = POLL_TURNS;
        hub_poll(hub, false);
    }
    if (ring->head == ring->tail) {
        hub_poll(hub, true);
        return 0;
    }
    ring_entry entry = ring->entries[ring->head++ & ring->mask];
    if (!(entry & 1))
        return run_fiber(hub, (struct fiber *)entry);
    if (entry_is_watch(entry)) {
        watch_run(hub, entry_watch(entry));
        return 0;
    }
    CallbackObject *callback = (CallbackObject *)(entry & ~(ring_entry)1);
    callback_run(hub, callback);
    Py_DECREF(callback);
    return 0;
}

PyObject *
hub_loop(struct hub *hub)
{
    while (hub_turn(hub) == 0)
        ;
    return NULL;
}
