/* Green threads: greenlets that the hub starts and whose end others can wait for.

   A green thread's parent is its thread's hub greenlet, but it does not switch there when it ends: it
   takes the next entry of the ring itself. If that is a green thread that has not started, the new one
   takes over its stack, so that a flood of short tasks runs on one. With another parent - it is being
   ended by whoever dropped the last reference - it ends like any greenlet.

   One that waits for its first turn is no garbage, since the ring refers to it: the collector need not look at it, nor
   at what it will run. In a flood of spawns it would do so again and again. So it is untracked from its start until it
   runs, or leaves the ring some other way.

   Its outcome is `value`, or `exception`; GreenletExit is a value (gevent's documentation of Greenlet). */
#include "green_thread.h"
#include "../switch/transfer.h"

void
starter_drop(GreenThreadObject *object)
{
    CallbackObject *starter = object->starter;
    object->starter = NULL;
    if (starter == NULL)
        return;
    if (callback_timer_stop(starter))
        Py_DECREF(starter);
    Py_CLEAR(starter->function);
    Py_CLEAR(starter->args);
    Py_DECREF(starter);
}

/* ---- running ---- */

/* Not given: a subclass's method, `run` or `_run`; or the error that says so. */
static PyObject *
run_of_subclass(PyObject *object)
{
    PyObject *run = PyObject_GetAttr(object, core.str_run);
    if (run != NULL || Py_IS_TYPE(object, &GreenThread_Type) || !PyErr_ExceptionMatches(PyExc_AttributeError))
        return run;
    PyErr_Clear();
    return PyObject_GetAttr(object, core.str_run_method);
}

static PyObject *
call_run(struct fiber *self)
{
    if (self->run == NULL && (self->run = run_of_subclass((PyObject *)self->object)) == NULL)
        return NULL;
    if (self->args == NULL && self->kwargs == NULL)
        return PyObject_CallNoArgs(self->run);
    /* C functions borrow their arguments from the dictionary: nobody else may change it meanwhile */
    if (self->kwargs != NULL && Py_REFCNT(self->kwargs) > 1) {
        PyObject *own = PyDict_Copy(self->kwargs);
        if (own == NULL)
            return NULL;
        Py_SETREF(self->kwargs, own);
    }
    return PyObject_Call(self->run, self->args != NULL ? self->args : core.empty_tuple, self->kwargs);
}

/* Stores the result of the call, or the pending exception, which is reported. */
static void
outcome_store(struct hub *hub, GreenThreadObject *object, PyObject *result)
{
    if (result == NULL)
        result = exit_as_value();
    if (result == NULL) {
        PyObject *exception = PyErr_GetRaisedException();
        object->exception = Py_NewRef(exception);
        object->traceback = PyException_GetTraceback(exception);
        object->finished = true;
        PyErr_SetRaisedException(exception);
        hub_report_error(hub, (PyObject *)object);
    }
    object->value = result;
    object->finished = true;
}

static void
joiners_wake(GreenThreadObject *object)
{
    while (object->joiners.first != NULL)
        hub_unpark(object->joiners.first, UNPARKED);
}

/* Whoever joined finds the links called. */
static void
end_announce(struct hub *hub, GreenThreadObject *object)
{
    if (object->links != NULL)
        links_schedule(hub, object);
    joiners_wake(object);
}

/* Somebody may switch in explicitly before the hub's turn comes, and throw: then an exception is set. */
static bool
arrived_with_error(struct thread *thread)
{
    PyObject *value = arrive(thread);
    Py_XDECREF(value);
    return value == NULL;
}

static bool
raise_interrupt_first(struct hub *hub, struct fiber *self)
{
    PyObject *interrupt = hub_take_struck(hub);
    if (interrupt == NULL) {
        interrupt = self->wait.interrupt;
        self->wait.interrupt = NULL;
    }
    if (interrupt == NULL)
        return false;
    PyErr_SetRaisedException(interrupt);
    return true;
}

/* While it still runs like any other: its thread locals are dropped, and nobody knows its number any more. */
static void
ways_part(GreenThreadObject *object)
{
    own_state_end(object);
    if (object->identity_asked && core.identity_ended != NULL)
        core.identity_ended((PyObject *)object);
}

static void
run_to_the_end(struct hub *hub, struct fiber *self, bool thrown)
{
    self->wait.state = NOT_WAITING;
    green_thread_track(self->object);
    PyObject *result = thrown || raise_interrupt_first(hub, self) ? NULL : call_run(self);
    outcome_store(hub, (GreenThreadObject *)self->object, result);
    fiber_tidy(self, false);
    ways_part((GreenThreadObject *)self->object);
    end_announce(hub, (GreenThreadObject *)self->object);
}

/* The value or the exception as a message for a parent that is not the hub. */
static struct message
outcome_message(GreenThreadObject *object)
{
    struct message message = {Py_XNewRef(object->value), NULL};
    if (message.value == NULL)
        PyErr_SetRaisedException(Py_NewRef(object->exception));
    return message;
}

/* The next to run, ready to go on. NULL when there is no memory for any. */
static struct fiber *
successor_of(struct hub *hub, struct fiber *self)
{
    struct fiber *next = hub_next(hub);
    for (uint32_t tries = hub->ring.tail - hub->ring.head + 2; !stack_make_ready(self, next); tries--) {
        hub_put_back(hub, next);
        if (tries == 0)
            return NULL;
        next = hub_next(hub);
    }
    return next;
}

void *
green_thread_main(struct thread *thread, struct fiber *self)
{
    struct hub *hub = thread->hub;
    bool thrown = arrived_with_error(thread);
    for (;;) {
        run_to_the_end(hub, self, thrown);
        if (!PyObject_TypeCheck(self->parent, &Hub_Type))
            return fiber_bequeath(thread, self, outcome_message((GreenThreadObject *)self->object));
        struct fiber *fresh = hub_next_fresh(hub);
        if (fresh == NULL)
            break;
        GreenletObject *finished = self->object;
        fiber_adopt_stack(thread, self, fresh);
        self = fresh;
        thrown = false;
        drop_of_another(thread, finished);
    }
    struct fiber *next = successor_of(hub, self);
    if (unlikely(next == NULL))
        return fiber_bequeath_no_memory(thread, self);
    thread->finished = self->object;
    return leave_for_good(thread, self, next, NULL);
}

void
green_thread_fail(struct hub *hub, struct fiber *fiber)
{
    GreenThreadObject *object = (GreenThreadObject *)fiber->object;
    fiber->state = DEAD;
    fiber->wait.state = NOT_WAITING;
    green_thread_track(fiber->object);
    outcome_store(hub, object, NULL);
    fiber_tidy(fiber, false);
    end_announce(hub, object);
}

/* ---- ending from outside ---- */

/* Before its start. What it would have run is dropped; an entry in the ring is stale from now on. */
static void
end_unstarted(struct hub *hub, GreenThreadObject *object, PyObject *exception)
{
    PyErr_SetRaisedException(Py_NewRef(exception));
    starter_drop(object);
    green_thread_fail(hub, object->greenlet.fiber);
}

struct hub *
hub_of_fiber(const struct fiber *fiber)
{
    struct thread *thread = fiber_thread(fiber);
    return thread != NULL && thread->hub != NULL ? thread->hub : NULL;
}

/* Whether a throw can reach it as it is: it waits, or has its turn to come, with nothing thrown into it yet. */
static bool
is_ready_or_waits(const struct fiber *fiber)
{
    return fiber->state == STARTED && fiber->wait.state != NOT_WAITING && fiber->wait.interrupt == NULL;
}

/* What the callback of green_thread_throw_later() does: nobody else has a turn between it and the greenlet. */
static PyObject *
throw_now(PyObject *Py_UNUSED(module), PyObject *args)
{
    GreenletObject *greenlet = (GreenletObject *)PyTuple_GET_ITEM(args, 0);
    PyObject *exception = PyTuple_GET_ITEM(args, 1);
    greenlet->fiber->wait.throws_to_come--;
    if (is_ready_or_waits(greenlet->fiber) && fiber_thread(greenlet->fiber) == current_thread)
        return greenlet_throw_error(greenlet, exception, NULL, NULL);
    return green_thread_throw(greenlet, exception) < 0 ? NULL : Py_NewRef(Py_None);
}

/* It runs, or called somebody who does, or has its turn to come: once the hub has its turn again. */
int
green_thread_throw_later(struct hub *hub, GreenletObject *greenlet, PyObject *exception)
{
    static PyMethodDef definition = {"throw_now", throw_now, METH_VARARGS, NULL};
    int collector_was_on = PyGC_Disable();  /* no code may run: the hub may be another thread's, and end meanwhile */
    PyObject *function = PyCFunction_New(&definition, NULL);
    PyObject *args = function != NULL ? PyTuple_Pack(2, greenlet, exception) : NULL;
    CallbackObject *callback = args != NULL ? callback_new(function, args) : NULL;
    Py_XDECREF(args);
    Py_XDECREF(function);
    if (collector_was_on)
        PyGC_Enable();
    if (callback == NULL || hub_call_soon(hub, callback) < 0)
        return -1;
    greenlet->fiber->wait.throws_to_come++;
    return 1;
}

int
green_thread_throw(GreenletObject *greenlet, PyObject *exception)
{
    struct fiber *fiber = greenlet->fiber;
    struct hub *hub = hub_of_fiber(fiber);
    if (fiber->state == DEAD || (fiber->is_green && ((GreenThreadObject *)greenlet)->finished))
        return 0;
    if (fiber->state == FRESH && fiber->is_green) {
        if (hub == NULL && (hub = hub_get()) == NULL)
            return -1;
        end_unstarted(hub, (GreenThreadObject *)greenlet, exception);
        return 1;
    }
    /* one after the other, in the order in which they came */
    if (fiber->wait.interrupt == NULL && hub_interrupt(fiber, exception))
        return 1;
    if (hub == NULL || fiber == hub->home)
        return 0;
    if (hub->thread != current_thread || hub->thread->current != hub->home || fiber->wait.interrupt != NULL)
        return green_thread_throw_later(hub, greenlet, exception);
    PyObject *result = greenlet_throw_error(greenlet, exception, NULL, NULL);
    Py_XDECREF(result);
    return result != NULL ? 1 : -1;
}

/* Who was let go on before it is killed goes on, with what it was given, and is ended where it waits next: gevent's
   kill() is a callback, too, behind whoever was ready. So is each kill behind one that is to come. A timeout comes at
   once. */
static bool
has_its_turn_first(const struct fiber *fiber)
{
    struct thread *thread = fiber_thread(fiber);
    return is_ready_or_waits(fiber) && (fiber->wait.state == READY || fiber->wait.throws_to_come > 0)
        && thread == current_thread && thread->hub != NULL && thread->current != thread->hub->home;
}

PyObject *
core_throw_into(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *greenlet, *exception;
    if (!PyArg_ParseTuple(args, "O!O:throw_into", &Greenlet_Type, &greenlet, &exception))
        return NULL;
    if (!PyExceptionInstance_Check(exception))
        return PyErr_Format(PyExc_TypeError, "throw_into() needs an exception instance, not %s",
                            Py_TYPE(exception)->tp_name);
    int thrown = has_its_turn_first(((GreenletObject *)greenlet)->fiber)
        ? green_thread_throw_later(current_thread->hub, (GreenletObject *)greenlet, exception)
        : green_thread_throw((GreenletObject *)greenlet, exception);
    return thrown < 0 ? NULL : PyBool_FromLong(thrown);
}

/* ---- starting ---- */

void
green_thread_track(GreenletObject *greenlet)
{
    if (!PyObject_GC_IsTracked((PyObject *)greenlet))
        PyObject_GC_Track(greenlet);
}

int
green_thread_start(GreenThreadObject *object)
{
    struct fiber *fiber = object->greenlet.fiber;
    struct thread *thread = fiber->parent->fiber->thread;
    struct hub *hub = likely(thread != NULL) ? thread->hub : hub_get();
    if (unlikely(hub == NULL)) {
        if (thread != NULL)
            PyErr_SetString(core.error, "its parent belongs to a thread without a hub: nobody there would start it");
        return -1;
    }
    if (fiber->state != FRESH || fiber->wait.state != NOT_WAITING || object->finished)
        return 0;
    if (hub_enqueue(hub, (ring_entry)fiber) < 0)
        return -1;
    fiber->wait.state = READY;
    fiber->wait.reason = FOR_TURN;
    PyObject_GC_UnTrack(object);
    Py_INCREF(object);
    return 0;
}

int
green_thread_join(struct hub *hub, GreenThreadObject *object, int64_t deadline)
{
    if (hub_prepare(hub, FOR_GREEN_THREAD, (uintptr_t)object) < 0)
        return -1;
    wait_queue_append(&object->joiners, hub->thread->current);
    return hub_prepare_deadline(hub, deadline) < 0 ? -1 : hub_park(hub);
}
