/* A garbage collection that is under way, and the lists it works on.

   It chains objects through the head that each has in front of it, in rings that begin and end in a head of their own: a
   local variable of the collector's C functions. The lowest bits of both links are flags. Builds without the GIL have
   no such lists. */
#ifndef GOSSAMER_CPYTHON_COLLECTION_H
#define GOSSAMER_CPYTHON_COLLECTION_H

#include "version.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#undef _PyGC_FINALIZED               /* a macro of the public headers, a function of the internal ones */
#include "internal/pycore_interp.h"
#pragma GCC diagnostic pop

#include <stdbool.h>

struct collection_link {
    uintptr_t next, previous;
};

enum { COLLECTION_LINK_FLAGS = 3 };

static inline bool
collection_is_under_way(void)
{
#ifdef Py_GIL_DISABLED
    return false;
#else
    return PyInterpreterState_Get()->gc.collecting != 0;
#endif
}

#endif
