/* What the files of green threads share: their life (green_thread.c), their type (green_thread_type.c), links.c. */
#ifndef GOSSAMER_GREEN_THREAD_H
#define GOSSAMER_GREEN_THREAD_H

#include "hub.h"

/* ---- green_thread.c ---- */
/* Gives up a start_later() that is to come. */
void starter_drop(GreenThreadObject *object);

/* The hub of the thread that `fiber` belongs to, or would start in; NULL when that has ended or has none. */
struct hub *hub_of_fiber(const struct fiber *fiber);

/* ---- links.c ---- */
/* Has the links called that have not been. */
void links_schedule(struct hub *hub, GreenThreadObject *object);

PyObject *GreenThread_rawlink(PyObject *self, PyObject *callback);
PyObject *GreenThread_unlink(PyObject *self, PyObject *callback);
PyObject *GreenThread_has_links(PyObject *self, PyObject *ignored);
PyObject *GreenThread_unlink_all(PyObject *self, PyObject *ignored);
int links_ready(void);

#endif
