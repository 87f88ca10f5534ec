/* Memory for Python frames.

   The interpreter keeps Python frames in chunks of 16 KiB. One for each greenlet would cost a system
   call and four pages; most need a few hundred bytes. So a greenlet starts on a small root chunk from a
   free list, and the interpreter adds its own chunks on top when frames overflow it.

   Up to 3.13 the interpreter maps and unmaps those 16 KiB chunks each time the overflow comes and goes.
   A cache in front of the arena allocator, which serves exactly these requests, makes that cheap
   (3.14 keeps one chunk per thread state itself, but a greenlet's chunks still pass through here). */
#ifndef GOSSAMER_DATASTACK_H
#define GOSSAMER_DATASTACK_H

#include "cpython.h"

/* A root chunk, or NULL with MemoryError set. */
_PyStackChunk *root_chunk_take(void);
void root_chunk_give(_PyStackChunk *root);

/* Puts the cache in front of the interpreter's arena allocator, once per process. */
void chunk_cache_install(void);

#endif
