/* Which file a descriptor stands for, to be looked at again after a wait.

   The poller tells whoever waits for a descriptor that it was closed. A call that has another one besides, or none that
   is waited for, finds out by this that somebody closed it meanwhile and its number is another file's by now. (The
   interpreter's own call, which has hold of the file, would go on with the old one.) */
#ifndef GOSSAMER_FILE_IDENTITY_H
#define GOSSAMER_FILE_IDENTITY_H

#include "points.h"

#include <errno.h>
#include <sys/stat.h>

/* All zero: of what is no open descriptor. */
struct file_identity {
    dev_t device;
    ino_t number;
};

static inline struct file_identity
file_identity_of(int descriptor)
{
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status) < 0)
        return (struct file_identity){0};
    return (struct file_identity){status.st_dev, status.st_ino};
}

/* Returns -1 with OSError EBADF set when the descriptor is another file's now. */
static inline int
file_identity_check(int descriptor, struct file_identity before)
{
    struct file_identity now = file_identity_of(descriptor);
    if (now.device == before.device && now.number == before.number)
        return 0;
    errno = EBADF;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

#endif
