/* Signals: who gets a KeyboardInterrupt, waiting for signals, and keeping the hub's wake-up in place.

   - default_int_handler() raises KeyboardInterrupt where it is called: in whatever green thread happens to run. Called
     in one, it raises it in the main greenlet instead and lets the others have their turns, so that a green thread
     that never waits cannot keep it from getting there. Elsewhere (the main greenlet itself, the hub greenlet, raw
     greenlets) it raises as ever. What other handlers raise is raised where they run.
   - Every handler that signal() sets is hooked, so that it wakes the hub (signals.h); those set before, when the points
     are installed. interrupt_main() is a signal that the kernel knows nothing of. Both also while they are off.
   - sigwait() and its kin: the original is asked with no time to wait, and a signalfd of the same set tells when to ask
     again. It answers for the thread that polls it, which is the caller's own. As in any program, the signals must be
     blocked: one that is not is handled, and waited for in vain.
   - A thread that blocks signals for itself leaves them to the other threads. For a green thread that was started as a
     thread, those are in the same OS thread: its pthread_sigmask() answers as ever and changes nothing.
   - pause() parks until a signal has come and its handlers have run. In threads other than the main one that is a
     signal which interrupts the hub's sleep. */
#include "threads.h"
#include "../_core/runtime/signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static PyObject *point_default_int_handler(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_signal(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_interrupt_main(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_pause(PyObject *module, PyObject *ignored);
static PyObject *point_sigwait(PyObject *module, PyObject *set);
static PyObject *point_sigwaitinfo(PyObject *module, PyObject *set);
static PyObject *point_sigtimedwait(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_sigmask(PyObject *module, PyObject *const *args, Py_ssize_t count);

#define POINT_IN(module_name, function_name, ours, convention, sort) \
    {.module = module_name, .name = function_name, .function = (PyCFunction)(void (*)(void))ours, \
     .flags = convention, .kind = sort, .group = "signal"}
#define SIGNAL_POINT(...) POINT_IN("_signal", __VA_ARGS__)

enum { DEFAULT_INT_HANDLER, SIGNAL, INTERRUPT_MAIN, PAUSE, SIGWAIT, SIGWAITINFO, SIGTIMEDWAIT, SIGMASK };

struct point signal_points[] = {
    [DEFAULT_INT_HANDLER] = SIGNAL_POINT("default_int_handler", point_default_int_handler, METH_FASTCALL, WAITER),
    [SIGNAL] = SIGNAL_POINT("signal", point_signal, METH_FASTCALL, WAKER),
    [INTERRUPT_MAIN] = POINT_IN("_thread", "interrupt_main", point_interrupt_main, METH_FASTCALL | METH_KEYWORDS, WAKER),
    [PAUSE] = SIGNAL_POINT("pause", point_pause, METH_NOARGS, WAITER),
    [SIGWAIT] = SIGNAL_POINT("sigwait", point_sigwait, METH_O, WAITER),
    [SIGWAITINFO] = SIGNAL_POINT("sigwaitinfo", point_sigwaitinfo, METH_O, WAITER),
    [SIGTIMEDWAIT] = SIGNAL_POINT("sigtimedwait", point_sigtimedwait, METH_FASTCALL, WAITER),
    [SIGMASK] = SIGNAL_POINT("pthread_sigmask", point_sigmask, METH_FASTCALL, WAKER),
    {.module = NULL},
};

#define NAP_SECONDS 0.005

/* ---- handlers ---- */

/* Whether Python code of a green thread of the main thread is running. */
static bool
in_green_thread(const struct hub *hub)
{
    struct fiber *current = hub->thread->current;
    return !hub->closing && current != hub->home && green_thread_of(current) != NULL && syscall(SYS_gettid) == getpid();
}

static PyObject *
point_default_int_handler(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    const struct point *point = &signal_points[DEFAULT_INT_HANDLER];
    struct hub *hub = point_hub(point);
    if (hub == NULL || count != 2 || natural_from(args[0]) < 0 || !in_green_thread(hub))
        return point_original(point, module, args, count, NULL);
    PyErr_SetNone(PyExc_KeyboardInterrupt);
    hub_deliver_to_main(hub);
    return hub_pause(hub, 0) < 0 ? NULL : Py_NewRef(Py_None);
}

static void
hook_number(PyObject *number)
{
    long value = PyLong_AsLong(number);
    if (value == -1 && PyErr_Occurred())
        PyErr_Clear();
    else if (value > 0 && value < NSIG)
        signals_hook((int)value);
}

static PyObject *
point_signal(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    PyObject *before = point_original(&signal_points[SIGNAL], module, args, count, NULL);
    if (before != NULL && PyCallable_Check(args[1]))
        hook_number(args[0]);
    return before;
}

static PyObject *
point_interrupt_main(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *result = point_original(&signal_points[INTERRUPT_MAIN], module, args, count, names);
    if (result != NULL)
        signals_announce();
    return result;
}

int
signals_hook_existing(void)
{
    PyObject *module = PyImport_ImportModule("_signal");
    for (int number = 1; module != NULL && number < NSIG; number++) {
        PyObject *handler = PyObject_CallMethod(module, "getsignal", "i", number);
        if (handler == NULL)
            PyErr_Clear();           /* a number that the C library keeps for itself */
        else if (PyCallable_Check(handler))
            signals_hook(number);
        Py_XDECREF(handler);
    }
    Py_XDECREF(module);
    return module != NULL ? 0 : -1;
}

/* ---- waiting ---- */

static PyObject *
point_pause(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = point_hub(&signal_points[PAUSE]);
    if (hub == NULL)
        return point_original_noargs(&signal_points[PAUSE], module);
    return hub_wait_signal(hub) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
point_sigmask(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    const struct point *point = &signal_points[SIGMASK];
    if (point_hub(point) == NULL || started_current() == NULL)
        return point_original(point, module, args, count, NULL);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    PyObject *before = point_original(point, module, args, count, NULL);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    return before;
}

/* A signalfd for signals that the original has accepted. -1: there is none to be had. */
static int
signalfd_for(PyObject *signals)
{
    sigset_t set;
    sigemptyset(&set);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(signals); i++)
        sigaddset(&set, (int)PyLong_AsLong(PyTuple_GET_ITEM(signals, i)));
    if (PyErr_Occurred())
        PyErr_Clear();
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static PyObject *
ask(PyObject *signals)
{
    PyObject *zero = PyLong_FromLong(0);
    PyObject *args[] = {signals, zero};
    PyObject *answer = zero != NULL ? point_original(&signal_points[SIGTIMEDWAIT], NULL, args, 2, NULL) : NULL;
    Py_XDECREF(zero);
    return answer;
}

/* Parks until it is worth asking again. An outcome, or -1 with an exception set. */
static int
park(struct hub *hub, int descriptor, int64_t deadline)
{
    if (descriptor >= 0)
        return hub_wait_descriptor(hub, descriptor, READING, deadline);
    if (hub_pause(hub, NAP_SECONDS) < 0)
        return -1;
    return clock_now() >= deadline ? TIMED_OUT : UNPARKED;
}

/* What sigtimedwait() returns for a tuple of signals: None when none came in time. */
static PyObject *
wait_for_any(struct hub *hub, PyObject *signals, int64_t deadline)
{
    PyObject *answer = ask(signals);
    if (answer != Py_None)
        return answer;
    int descriptor = signalfd_for(signals), outcome = UNPARKED;
    while (answer == Py_None && outcome == UNPARKED) {
        Py_DECREF(answer);
        outcome = park(hub, descriptor, deadline);
        answer = outcome >= 0 ? ask(signals) : NULL;
    }
    if (descriptor >= 0) {
        descriptor_changed(descriptor, UNPARKED);
        close(descriptor);
    }
    return answer;
}

/* NULL without an exception: the original is to be called. */
static PyObject *
signals_from(struct hub *hub, PyObject *set)
{
    PyObject *signals = hub != NULL ? PySequence_Tuple(set) : NULL;
    if (signals == NULL)
        PyErr_Clear();
    return signals;
}

static PyObject *
wait_for_info(const struct point *point, PyObject *module, PyObject *set)
{
    struct hub *hub = point_hub(point);
    PyObject *signals = signals_from(hub, set);
    if (signals == NULL)
        return point_original_o(point, module, set);
    PyObject *answer = wait_for_any(hub, signals, INT64_MAX);
    Py_DECREF(signals);
    return answer;
}

static PyObject *
point_sigwaitinfo(PyObject *module, PyObject *set)
{
    return wait_for_info(&signal_points[SIGWAITINFO], module, set);
}

static PyObject *
point_sigwait(PyObject *module, PyObject *set)
{
    PyObject *answer = wait_for_info(&signal_points[SIGWAIT], module, set);
    if (answer == NULL || PyLong_Check(answer))
        return answer;
    PyObject *number = attribute_named(answer, "si_signo");
    Py_DECREF(answer);
    return number;
}

static PyObject *
point_sigtimedwait(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    const struct point *point = &signal_points[SIGTIMEDWAIT];
    struct hub *hub = point_hub(point);
    double seconds = hub != NULL && count == 2 ? seconds_from(args[1]) : -1;
    PyObject *signals = seconds > 0 && seconds < 9e9 ? signals_from(hub, args[0]) : NULL;
    if (signals == NULL)
        return point_original(point, module, args, count, NULL);
    PyObject *answer = wait_for_any(hub, signals, deadline_after(seconds));
    Py_DECREF(signals);
    return answer;
}
