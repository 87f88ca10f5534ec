/* The list of calls under way: see calls.h. */
#include "calls.h"

struct call *
call_begin(struct calls *calls, struct hub *hub, const void *object)
{
    struct call *call = calls->spare;
    if (call != NULL)
        calls->spare = call->next;
    else if ((call = PyMem_Malloc(sizeof *call)) == NULL)
        return (struct call *)PyErr_NoMemory();
    *call = (struct call){
        .object = object,
        .fiber = hub != NULL ? hub->thread->current : NULL,
        .thread = PyThread_get_thread_ident(),
        .next = calls->first,
    };
    if (call->next != NULL)
        call->next->previous = call;
    calls->first = call;
    return call;
}

PyObject *
call_end(struct calls *calls, struct call *call, PyObject *result)
{
    PyObject *interrupt = call->interrupt;
    if (call->next != NULL)
        call->next->previous = call->previous;
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        calls->first = call->next;
    call->next = calls->spare;
    calls->spare = call;
    if (likely(interrupt == NULL))
        return result;
    Py_XDECREF(result);
    PyErr_SetRaisedException(interrupt);
    return NULL;
}

struct call *
call_of(const struct calls *calls, const struct fiber *fiber, const void *object)
{
    for (struct call *call = calls->first; call != NULL; call = call->next)
        if (call->fiber == fiber && (object == NULL || call->object == object))
            return call;
    return NULL;
}
