/* Interrupts that must not strike in the middle of an import: see import_lock.c. */
#ifndef GOSSAMER_IMPORT_LOCK_H
#define GOSSAMER_IMPORT_LOCK_H

#include "points.h"

/* Once, when the points of locks are probed. Without what it looks for nothing is put off. */
void import_lock_look(void);

/* After a wait for `lock` that ended with the pending exception: whether that is put off, and no longer pending, because
   the lock has to be waited for in any case. */
bool import_lock_puts_off(const PyObject *lock);

/* After `lock` has been released: None, or NULL with the exception set that was put off. */
PyObject *import_lock_released(const PyObject *lock);

#endif
