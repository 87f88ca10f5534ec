/* The state of an OS thread: made at its first use of a greenlet, ended with its Python thread state.

   The end is noticed by a capsule in the thread state's dictionary, which the interpreter clears
   - in the ending thread itself, which can still run Python code: parked greenlets are ended there with
     GreenletExit, so that their `finally` blocks run;
   - in another thread, for threads that do not exist any more (in a forked child, or daemon threads at
     interpreter exit), and in the main thread when the interpreter is half gone: then nothing may run,
     and what is parked is given up.

   In a forked child the other threads are `gone` before the interpreter does anything there. It takes down their thread
   states one after another, and destructors and collections run meanwhile. So a thread that is gone shows nothing to
   the collector, and has its own state back, whoever ran in it: the capsule is found where the interpreter looks. */
#include "fiber.h"
#include "../runtime/hub.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

__thread struct thread *current_thread __attribute__((tls_model("initial-exec")));

/* The number of the Python thread state whose end has been seen. What is left of its dictionary is still to be dropped,
   and destructors that run then may ask for greenlets: nobody would notice the end a second time. */
static __thread uint64_t ended_state;

static const char capsule_name[] = "gossamer._core.thread";

static void
threads_link(struct thread *thread)
{
    thread->next = core.threads;
    if (thread->next != NULL)
        thread->next->previous = thread;
    core.threads = thread;
    thread->number = ++core.threads_so_far;
}

static void
threads_unlink(struct thread *thread)
{
    if (thread->previous != NULL)
        thread->previous->next = thread->next;
    else
        core.threads = thread->next;
    if (thread->next != NULL)
        thread->next->previous = thread->previous;
}

/* Ends parked greenlets as long as that gets anywhere: one may start another in its `finally` block. */
static void
thread_end_parked(struct thread *thread)
{
    Py_ssize_t tries = 100 + 2 * core.alive;
    struct fiber *fiber = thread->started;
    while (fiber != NULL && tries-- > 0) {
        bool is_home = thread->hub != NULL && fiber == thread->hub->home;
        if (fiber->refuses_to_die || fiber == thread->current || is_home) {
            fiber = fiber->next;
            continue;
        }
        GreenletObject *held = (GreenletObject *)Py_NewRef((PyObject *)fiber->object);
        fiber_end(thread, fiber);
        Py_DECREF(held);
        fiber = thread->started;
    }
}

/* The last to go: the others may have waited in their `finally` blocks. */
static void
hub_greenlet_end(struct thread *thread)
{
    if (thread->hub == NULL)
        return;
    thread->hub->closing = true;
    if (thread->hub->home->state == STARTED)
        fiber_end(thread, thread->hub->home);
}

static void
thread_end(struct thread *thread)
{
    bool can_run_code = thread == current_thread && !interpreter_is_finalizing()
                        && thread->current == thread->main;
    if (can_run_code) {
        if (thread->doomed != NULL)
            thread_end_doomed(thread);
        thread_end_parked(thread);
        hub_greenlet_end(thread);
    }
    while (thread->started != NULL)
        fiber_abandon(thread->started);
    wait_queue_remove(thread->main);
    thread->main->wait.state = NOT_WAITING;
    if (thread->hub != NULL)
        hub_free(thread);
    while (thread->started != NULL)  /* by destructors of what was in the hub */
        fiber_abandon(thread->started);
    slots_return(thread);
    threads_unlink(thread);
    if (thread == current_thread) {
        current_thread = NULL;
        ended_state = PyThreadState_GetID(thread->tstate);
    }
    struct fiber *main = thread->main;
    main->state = DEAD;
    main->thread = NULL;
    main->python.context = NULL;     /* was the thread state's all the time */
    GreenletObject *running = thread->current->object;
    PyObject *tracer = thread->tracer, *doomed = thread->doomed;
    free(thread);
    Py_DECREF(running);
    Py_DECREF(main->object);
    Py_XDECREF(tracer);
    Py_XDECREF(doomed);
}

static void
capsule_destroyed(PyObject *capsule)
{
    struct thread *thread = PyCapsule_GetPointer(capsule, capsule_name);
    PyObject *exception = PyErr_GetRaisedException();
    thread_end(thread);
    if (exception != NULL)
        PyErr_SetRaisedException(exception);
}

/* Ties the end of `thread` to that of its Python thread state. */
static int
thread_watch(struct thread *thread)
{
    PyObject *dict = PyThreadState_GetDict();
    if (dict == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    PyObject *capsule = PyCapsule_New(thread, capsule_name, NULL);
    if (capsule == NULL)
        return -1;
    int result = PyDict_SetItemString(dict, capsule_name, capsule);
    if (result == 0)
        PyCapsule_SetDestructor(capsule, capsule_destroyed);
    Py_DECREF(capsule);
    return result;
}

/* In a forked child, inside of fork(): nothing but pointers moves. */
static void
threads_leave_behind(void)
{
    for (struct thread *thread = core.threads; thread != NULL; thread = thread->next)
        if (thread != current_thread) {
            thread->gone = true;
            own_states_return(thread);
        }
}

int
threads_ready(void)
{
    static bool ready;               /* there is no way to take it back */
    int error = ready ? 0 : pthread_atfork(NULL, NULL, threads_leave_behind);
    if (error != 0) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    ready = true;
    return 0;
}

/* Only AddressSanitizer asks where the OS thread's own stack lies. */
static void
main_slot_measure(struct slot *slot)
{
#ifdef __SANITIZE_ADDRESS__
    pthread_attr_t attributes;
    void *low;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        if (pthread_attr_getstack(&attributes, &low, &size) == 0) {
            slot->low = low;
            slot->top = slot->low + size;
        }
        pthread_attr_destroy(&attributes);
    }
#else
    (void)slot;
#endif
}

struct thread *
thread_make(void)
{
    if (interpreter_is_finalizing()) {
        PyErr_SetString(PyExc_RuntimeError, "greenlets cannot be used any more: the interpreter is being finalized");
        return NULL;
    }
    if (PyThreadState_GetID(PyThreadState_Get()) == ended_state) {
        PyErr_SetString(PyExc_RuntimeError, "greenlets cannot be used any more: the thread is ending");
        return NULL;
    }
    /* before anything is decided: the collector may run meanwhile, and finalizers that use greenlets */
    GreenletObject *object = PyThreadState_GetDict() != NULL ? greenlet_alloc(&Greenlet_Type) : NULL;
    if (current_thread != NULL) {
        Py_XDECREF(object);
        PyErr_Clear();
        return current_thread;
    }
    struct thread *thread = object != NULL ? calloc(1, sizeof *thread) : NULL;
    if (thread == NULL) {
        Py_XDECREF(object);
        PyErr_NoMemory();
        return NULL;
    }
    thread->tstate = PyThreadState_Get();
    thread->moves_own_state = core.green_threads_own_locals;
    thread->moves_cxx_exceptions = core.cxx_globals != NULL;
    thread->main_slot.limits = stack_limits_of_thread(thread->tstate);
    main_slot_measure(&thread->main_slot);
    struct fiber *main = object->fiber;
    main->state = STARTED;
    main->is_main = true;
    main->entered = true;
    main->thread = thread;
    main->slot = &thread->main_slot;
    thread->main_slot.occupant = main;
    thread->main_slot.tenants = 1;
    thread->main = main;
    thread->current = main;
    Py_INCREF(object);               /* one reference for `main`, one for `current` */
    if (thread_watch(thread) < 0) {
        main->state = DEAD;
        main->thread = NULL;
        free(thread);
        Py_DECREF(object);
        Py_DECREF(object);
        return NULL;
    }
    threads_link(thread);
    current_thread = thread;
    return thread;
}

void
thread_set_attention(struct thread *thread)
{
    thread->attention = thread->tracer != NULL || thread->doomed != NULL;
}
