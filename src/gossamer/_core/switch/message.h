/* What travels at a switch, and what it is for the one who gets it.

   The one who switches puts a message into its thread, the one who arrives takes it out. */
#ifndef GOSSAMER_MESSAGE_H
#define GOSSAMER_MESSAGE_H

#include "fiber.h"

/* What a switch brings: `value` itself if `kwargs` is NULL, else arguments: the tuple `value`, and with POSITIONAL no
   keywords, else the dict `kwargs`. Both are owned. `value` NULL: an exception is set, and `kwargs` NULL.

   Two words, so that it travels in registers: by way of memory it is stored in parts and loaded as a whole, for which
   the processor waits some ten cycles, at three places of a greenlet's life. */
struct message {
    PyObject *value, *kwargs;
};

static inline struct message
message_take(struct thread *thread)
{
    struct message message = {thread->value, thread->kwargs};
    thread->value = thread->kwargs = NULL;
    return message;
}

static inline void
message_put(struct thread *thread, struct message message)
{
    thread->value = message.value;
    thread->kwargs = message.kwargs;
}

void message_drop(struct message message);

/* What switch() returns for a message: () for no arguments, the one positional argument, the tuple of
   several, the dict of keywords, or both as a pair. `value` NULL: MemoryError is set. */
struct message message_for_parked(struct message message);

#endif
