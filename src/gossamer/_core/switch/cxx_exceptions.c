/* The C++ runtime's record of exceptions that are being handled or thrown: one for each greenlet.

   The runtime keeps it for an OS thread, as a stack: what is caught last is left first. Greenlets that are parked in
   their handlers leave them in any order, and would take each other's exceptions. So the record moves at a switch, from
   the first time on that the C++ runtime is found in the process: that is looked for whenever an extension asks for the
   C interface, and when a thread gets a hub. A program without it pays nothing.

   The layout is part of the C++ ABI (Itanium C++ ABI, Exception Handling, 2.2.2). The record of the fiber that runs is
   in the C++ runtime; in the fiber it is empty then. */
#include "fiber.h"

#include <dlfcn.h>

static const char *const runtimes[] = {"libstdc++.so.6", "libc++abi.so.1"};

typedef struct cxx_exceptions *(*globals_function)(void);

static globals_function
find_globals(void)
{
    for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++) {
        void *library = dlopen(runtimes[i], RTLD_LAZY | RTLD_NOLOAD);
        if (library == NULL)
            continue;
        globals_function found;
        *(void **)&found = dlsym(library, "__cxa_get_globals");
        if (found != NULL)
            return found;            /* and the library stays, as we call it from now on */
        dlclose(library);
    }
    return NULL;
}

void
cxx_exceptions_look_for(void)
{
    if (core.cxx_globals != NULL || (core.cxx_globals = find_globals()) == NULL)
        return;
    for (struct thread *thread = core.threads; thread != NULL; thread = thread->next)
        thread->moves_cxx_exceptions = true;
}

void
cxx_exceptions_exchange(struct fiber *leaving, struct fiber *target)
{
    struct cxx_exceptions *globals = core.cxx_globals();
    if (leaving->state != DEAD)
        leaving->cxx_exceptions = *globals;
    *globals = target->cxx_exceptions;
    target->cxx_exceptions = (struct cxx_exceptions){0};
}
