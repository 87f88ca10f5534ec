/* Waking the main thread's hub for signals.

   The interpreter runs signal handlers in the main thread, between two instructions of Python code. A hub that sleeps
   gets there when the signal interrupts its system call. That fails it twice: the kernel may have another thread
   receive the signal, and one that comes just before the system call begins interrupts nothing. So the C handlers
   through which signals reach the interpreter are hooked: after its own handler has taken note, the hub's eventfd is
   written to, which ends the sleep whenever that begins.

   - signal.set_wakeup_fd() stays the program's (and asyncio's): it is neither used nor looked at.
   - A hook stays until somebody else sets the signal's disposition; without a hub to wake it does nothing.
   - Only plain handlers are hooked. SA_SIGINFO says that it is not the interpreter's.
   - Dispositions are the process's, and so is what is kept here. */
#ifndef GOSSAMER_SIGNALS_H
#define GOSSAMER_SIGNALS_H

#include <stdbool.h>

struct hub;

/* Hooks the C handler that a signal has now, if it has one. */
void signals_hook(int number);

/* From now on signals wake this hub, if it is the main thread's. */
void signals_attach(struct hub *hub);
void signals_detach(struct hub *hub);

/* The hub's eventfd has another number. */
void signals_follow(const struct hub *hub);

/* The same in a forked child, where the thread that forked is the main thread. */
void signals_after_fork(struct hub *hub);

/* Whether one has come since the last call, which a hub asks that signals wake. */
bool signals_take(void);

/* As if a signal had come: for what makes handlers run without one. From any thread. */
void signals_announce(void);

#endif
