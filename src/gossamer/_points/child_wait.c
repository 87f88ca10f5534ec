/* Waiting for child processes, which the kernel announces to epoll in one case only.

   - The end of one child: a pidfd becomes readable when the process is a zombie. It is opened anew for each wait,
     and the child is looked at once more after that: the number may have passed to another process before.
     pidfd_open() came with Linux 5.3, and sandboxes may refuse it.
   - Everything else (any child, a process group, stops and continuations) nothing announces: SIGCHLD is ignored
     unless somebody handles it, and to handle it on our own account would interrupt the system calls of all threads.
     So a thread that runs no Python code sits in waitid() with WNOWAIT, which takes nothing from anybody, and sets an
     eventfd when that returns. One such thread lives as long as one such wait. (From 3.12 on, os.fork() warns of the
     threads that it sees: of this one too.)
   - No thread to be had: naps.

   A process that is traced by this one stops without WSTOPPED being asked for, and a pidfd does not tell: who waits
   for a tracee asks for any child, or for stops.

   A forked child inherits waits for children that are not its own. They are woken by what wakes the parent's, and find
   ECHILD, as they would have from the start. */
#include "child_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAP_SECONDS 0.005

enum { WATCHER_STACK = 256 * 1024 };

/* Waits for a descriptor of our own, whose number another file gets next. */
static int
wait_and_forget(struct hub *hub, int descriptor)
{
    int outcome = hub_wait_descriptor(hub, descriptor, READING, INT64_MAX);
    descriptor_changed(descriptor, UNPARKED);
    return outcome < 0 ? -1 : 0;
}

/* ---- the end of one child ---- */

/* A pidfd of our own, or -1. */
static int
pidfd_of(struct children which)
{
    if (which.changes != WEXITED)
        return -1;
    if (which.type == P_PID)
        return (int)syscall(SYS_pidfd_open, (pid_t)which.id, 0);
    return which.type == P_PIDFD ? fcntl((int)which.id, F_DUPFD_CLOEXEC, 0) : -1;
}

static bool
nothing_to_tell(struct children which)
{
    siginfo_t found = {0};
    return waitid(which.type, which.id, &found, which.changes | WNOHANG | WNOWAIT) == 0 && found.si_pid == 0;
}

/* ---- anything else: a thread ---- */

struct watcher {
    struct children which;
    pthread_t thread;
    pid_t process;                   /* whose thread it is */
    int finding;                     /* eventfd */
};

static void *
watch(void *argument)
{
    const struct watcher *watcher = argument;
    siginfo_t found;
    while (waitid(watcher->which.type, watcher->which.id, &found, watcher->which.changes | WNOWAIT) < 0
           && errno == EINTR)
        ;
    eventfd_write(watcher->finding, 1);
    return NULL;
}

/* Signals are for the interpreter's threads. */
static int
thread_start(struct watcher *watcher)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    pthread_attr_setstacksize(&attributes, WATCHER_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&watcher->thread, &attributes, watch, watcher);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

/* It does not lie on the stack of who waits, which may be copied out meanwhile. NULL: there can be none. */
static struct watcher *
watcher_start(struct children which)
{
    struct watcher *watcher = malloc(sizeof *watcher);
    if (watcher == NULL)
        return NULL;
    *watcher = (struct watcher){.which = which, .process = getpid(), .finding = eventfd(0, EFD_CLOEXEC)};
    if (watcher->finding >= 0 && thread_start(watcher) == 0)
        return watcher;
    if (watcher->finding >= 0)
        close(watcher->finding);
    free(watcher);
    return NULL;
}

/* waitid() is a cancellation point. A forked child has nothing to cancel. */
static void
watcher_end(struct watcher *watcher)
{
    if (watcher->process == getpid()) {
        pthread_cancel(watcher->thread);
        pthread_join(watcher->thread, NULL);
    }
    close(watcher->finding);
    free(watcher);
}

int
child_wait(struct hub *hub, struct children which)
{
    int pidfd = pidfd_of(which);
    if (pidfd >= 0) {
        int outcome = nothing_to_tell(which) ? wait_and_forget(hub, pidfd) : 0;
        close(pidfd);
        return outcome;
    }
    struct watcher *watcher = watcher_start(which);
    if (watcher == NULL)
        return hub_pause(hub, NAP_SECONDS);
    int outcome = wait_and_forget(hub, watcher->finding);
    watcher_end(watcher);
    return outcome;
}
