/* Root chunks and the cache of 16 KiB chunks: see datastack.h. */
#include "datastack.h"

#include <stdlib.h>

enum {
    ROOT_BYTES = 768,                /* shallow tasks stay within it: four small frames or so */
    ROOTS_A_SLAB = 128,
    CHUNK_BYTES = 16 * 1024,         /* the interpreter's chunk size, 3.11 to 3.15 */
    CHUNKS_CACHED = 64,
};

/* Guarded by the GIL: chunks are handed out and back while Python code may run only. */
static _PyStackChunk *free_roots;

static int
root_slab_add(void)
{
    char *slab = malloc((size_t)ROOT_BYTES * ROOTS_A_SLAB);
    if (slab == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (int i = ROOTS_A_SLAB - 1; i >= 0; i--) {
        _PyStackChunk *root = (_PyStackChunk *)(slab + (size_t)i * ROOT_BYTES);
        root->size = ROOT_BYTES;
        root->previous = free_roots;
        free_roots = root;
    }
    return 0;
}

_PyStackChunk *
root_chunk_take(void)
{
    if (free_roots == NULL && root_slab_add() < 0)
        return NULL;
    _PyStackChunk *root = free_roots;
    free_roots = root->previous;
    root->previous = NULL;
    root->top = 0;
    return root;
}

void
root_chunk_give(_PyStackChunk *root)
{
    root->previous = free_roots;
    free_roots = root;
}

/* The process's, and no GIL guards it: interpreters that have one of their own come here at the same time. Who finds
   another one inside does without. */
static struct {
    PyObjectArenaAllocator below;
    void *blocks[CHUNKS_CACHED];
    int count;
    bool taken;
} cache;

static bool
cache_enter(void)
{
    return !__atomic_exchange_n(&cache.taken, true, __ATOMIC_ACQUIRE);
}

static void
cache_leave(void)
{
    __atomic_store_n(&cache.taken, false, __ATOMIC_RELEASE);
}

static void *
cache_alloc(void *Py_UNUSED(context), size_t size)
{
    void *block = NULL;
    if (size == CHUNK_BYTES && cache_enter()) {
        if (cache.count > 0)
            block = cache.blocks[--cache.count];
        cache_leave();
    }
    return block != NULL ? block : cache.below.alloc(cache.below.ctx, size);
}

static void
cache_free(void *Py_UNUSED(context), void *block, size_t size)
{
    bool kept = false;
    if (size == CHUNK_BYTES && cache_enter()) {
        kept = cache.count < CHUNKS_CACHED;
        if (kept)
            cache.blocks[cache.count++] = block;
        cache_leave();
    }
    if (!kept)
        cache.below.free(cache.below.ctx, block, size);
}

void
chunk_cache_install(void)
{
    if (cache.below.alloc != NULL)
        return;
    PyObject_GetArenaAllocator(&cache.below);
    PyObjectArenaAllocator hooked = {NULL, cache_alloc, cache_free};
    PyObject_SetArenaAllocator(&hooked);
}
