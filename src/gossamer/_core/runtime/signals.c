/* Hooks beneath the interpreter's signal handlers: see signals.h. What runs in them is async-signal-safe. */
#include "signals.h"
#include "hub.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The handlers that were there before; set before the hook is. */
static void (*hooked[NSIG])(int);

static int wakeup = -1;              /* eventfd of the main thread's hub */
static bool arrived;

void
signals_announce(void)
{
    uint64_t one = 1;
    __atomic_store_n(&arrived, true, __ATOMIC_SEQ_CST);
    int descriptor = __atomic_load_n(&wakeup, __ATOMIC_SEQ_CST);
    /* fails when the counter is full, and then it wakes all the same */
    if (descriptor >= 0 && write(descriptor, &one, sizeof one) < 0)
        return;
}

static void
hook(int number)
{
    int error = errno;
    hooked[number](number);
    signals_announce();
    errno = error;
}

void
signals_hook(int number)
{
    struct sigaction action;
    if (number < 1 || number >= NSIG || sigaction(number, NULL, &action) < 0 || (action.sa_flags & SA_SIGINFO)
        || action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN || action.sa_handler == hook)
        return;
    __atomic_store_n(&hooked[number], action.sa_handler, __ATOMIC_SEQ_CST);
    action.sa_handler = hook;
    sigaction(number, &action, NULL);
}

void
signals_attach(struct hub *hub)
{
    if (syscall(SYS_gettid) != getpid())
        return;
    hub->wakes_for_signals = true;
    __atomic_store_n(&wakeup, hub->poller.wakeup, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST))
        signals_announce();
}

void
signals_detach(struct hub *hub)
{
    if (hub->wakes_for_signals)
        __atomic_store_n(&wakeup, -1, __ATOMIC_SEQ_CST);
    hub->wakes_for_signals = false;
}

void
signals_follow(const struct hub *hub)
{
    if (hub->wakes_for_signals)
        __atomic_store_n(&wakeup, hub->poller.wakeup, __ATOMIC_SEQ_CST);
}

void
signals_after_fork(struct hub *hub)
{
    /* the parent's signals are not the child's */
    __atomic_store_n(&arrived, false, __ATOMIC_SEQ_CST);
    signals_attach(hub);
}

bool
signals_take(void)
{
    return __atomic_load_n(&arrived, __ATOMIC_RELAXED) && __atomic_exchange_n(&arrived, false, __ATOMIC_SEQ_CST);
}
