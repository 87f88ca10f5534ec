/* os.read, os.write and their kin, on whatever can make them wait: pipes, FIFOs, sockets, terminals, eventfds.

   - preadv2() and pwritev2() with RWF_NOWAIT read and write at the current position, as read() and write() do, and say
     EAGAIN instead of blocking: nobody else can be faster in between. Pipes, sockets and eventfds know the flag.
     Where the descriptor or the kernel does not (terminals, inotify), it is polled and the original called
     at once: then another thread or process can be faster, and the original blocks until there is more.
   - The flag must not reach a regular file: it would cut reads short at what is not in memory, and split
     writes. lseek() costs half of fstat() and fails with ESPIPE for all streams; only the rest needs fstat().
   - On a blocking descriptor the kernel writes all it is given, however long that takes. So here; each piece is
     written as the kernel would: at most PIPE_BUF bytes go into a pipe in one piece or not at all. A fault after some
     of it was written is the next call's, and an interrupt the next wait's (point_put_off).
   - On a descriptor with O_NONBLOCK nobody waits: the original says BlockingIOError.
   - What is written to a terminal may block once it accepts anything: it cannot be asked how much.
   - Calls for no bytes at all, and arguments that are none, go to the original.

   Files (open(), sys.stdout) are file.c's, which moves bytes by what is here. */
#include "pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static PyObject *point_read(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_readinto(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_write(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_readv(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_writev(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_eventfd_read(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);

#define PIPE_POINT(function_name, ours, convention) \
    .module = "os", .name = function_name, .function = (PyCFunction)(void (*)(void))ours, .flags = convention, \
    .kind = WAITER, .group = "os"

enum { READ, READINTO, WRITE, READV, WRITEV, EVENTFD_READ };

struct point pipe_points[] = {
    [READ] = {PIPE_POINT("read", point_read, METH_FASTCALL)},
    [READINTO] = {PIPE_POINT("readinto", point_readinto, METH_FASTCALL), .since = 0x030e},
    [WRITE] = {PIPE_POINT("write", point_write, METH_FASTCALL)},
    [READV] = {PIPE_POINT("readv", point_readv, METH_FASTCALL)},
    [WRITEV] = {PIPE_POINT("writev", point_writev, METH_FASTCALL)},
    [EVENTFD_READ] = {PIPE_POINT("eventfd_read", point_eventfd_read, METH_FASTCALL | METH_KEYWORDS)},
    {.module = NULL},
};

/* ---- descriptors ---- */

bool
is_storage(int descriptor)
{
    struct stat status;
    if (lseek(descriptor, 0, SEEK_CUR) < 0)
        return errno != ESPIPE;      /* a bad descriptor: for the original to say so */
    if (fstat(descriptor, &status) < 0)
        return true;
    return S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) || S_ISDIR(status.st_mode);
}

/* The descriptor that a green caller may have to wait for, -1 when the original is to be called. */
static int
stream_from(struct hub *hub, PyObject *argument)
{
    int descriptor = hub != NULL ? natural_from(argument) : -1;
    return descriptor >= 0 && !is_storage(descriptor) ? descriptor : -1;
}

/* The same, when others had their turn, if it is time for that. Returns -1 with an exception set. */
static int
stream_in_turn(struct hub *hub, PyObject *argument, int *descriptor)
{
    *descriptor = stream_from(hub, argument);
    int turn = *descriptor >= 0 ? hub_give_way_at_times(hub) : 0;
    if (turn > 0)
        *descriptor = stream_from(hub, argument);    /* it may be another file by now */
    return turn < 0 ? -1 : 0;
}

/* Whether the original answers without waiting: the descriptor is not to block, or not open for this. */
static bool
refuses_to_wait(int descriptor, enum direction direction)
{
    int flags = fcntl(descriptor, F_GETFL);
    return flags < 0 || (flags & O_NONBLOCK)
        || (flags & O_ACCMODE) == (direction == READING ? O_WRONLY : O_RDONLY);
}

/* Parks until the original has something to do. Returns -1 with an exception set. */
static int
poll_and_park(struct hub *hub, int descriptor, enum direction direction)
{
    bool parked = false;
    for (;;) {
        struct pollfd asked = {.fd = descriptor, .events = direction == READING ? POLLIN : POLLOUT};
        if (poll(&asked, 1, 0) != 0 || (!parked && refuses_to_wait(descriptor, direction)))
            return LEAVE_TO_ORIGINAL;
        parked = true;
        if (hub_wait_descriptor(hub, descriptor, direction, INT64_MAX) < 0)
            return FAILED;
    }
}

/* ---- moving bytes ---- */

/* What is left to be read or written. */
struct bytes {
    struct iovec *vectors;
    int count;
    size_t total;
};

static void
bytes_skip(struct bytes *bytes, size_t moved)
{
    bytes->total -= moved;
    while (moved > 0 && moved >= bytes->vectors->iov_len) {
        moved -= bytes->vectors->iov_len;
        bytes->vectors++;
        bytes->count--;
    }
    if (moved > 0) {
        bytes->vectors->iov_base = (char *)bytes->vectors->iov_base + moved;
        bytes->vectors->iov_len -= moved;
    }
}

static bool
flag_is_unknown(int error)
{
    /* a sandbox that does not know the call says EPERM */
    return error == EOPNOTSUPP || error == ENOSYS || error == EPERM;
}

/* Reads what there is, or writes everything, parking as needed. Returns how many bytes, LEAVE_TO_ORIGINAL with
   nothing moved, or FAILED with an exception set and `*moved_before` bytes written. */
static Py_ssize_t
stream_move(struct hub *hub, int descriptor, enum direction direction, struct bytes bytes, Py_ssize_t *moved_before)
{
    Py_ssize_t done = 0;
    bool parked = false;
    if (bytes.total == 0 || bytes.total > TOO_MUCH)
        return LEAVE_TO_ORIGINAL;
    for (;;) {
        ssize_t moved = direction == READING ? preadv2(descriptor, bytes.vectors, bytes.count, -1, RWF_NOWAIT)
                                             : pwritev2(descriptor, bytes.vectors, bytes.count, -1, RWF_NOWAIT);
        if (moved >= 0) {
            done += moved;
            bytes_skip(&bytes, (size_t)moved);
            if (direction == READING || bytes.total == 0 || moved == 0)
                return done;
            continue;
        }
        if (errno != EAGAIN && done == 0)
            return flag_is_unknown(errno) ? poll_and_park(hub, descriptor, direction) : LEAVE_TO_ORIGINAL;
        if (errno != EAGAIN)
            return done;
        if (!parked && refuses_to_wait(descriptor, direction))
            return done > 0 ? done : LEAVE_TO_ORIGINAL;
        parked = true;
        if (hub_wait_descriptor(hub, descriptor, direction, INT64_MAX) < 0) {
            *moved_before = done;
            return FAILED;
        }
    }
}

Py_ssize_t
pipe_move(struct hub *hub, int descriptor, enum direction direction, void *start, Py_ssize_t length,
          Py_ssize_t *moved_before)
{
    struct iovec vector = {start, (size_t)length};
    *moved_before = 0;
    return stream_move(hub, descriptor, direction, (struct bytes){&vector, 1, (size_t)length}, moved_before);
}

/* What a call returns for the bytes that it moved. */
static PyObject *
number_moved(struct hub *hub, Py_ssize_t moved, Py_ssize_t moved_before)
{
    if (moved == FAILED && moved_before > 0 && point_put_off(hub))
        moved = moved_before;
    return moved == FAILED ? NULL : PyLong_FromSsize_t(moved);
}

/* ---- one buffer ---- */

static PyObject *
point_read(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    struct hub *hub = point_hub(&pipe_points[READ]);
    int length = hub != NULL && count == 2 ? natural_from(args[1]) : -1, descriptor = -1;
    if (length > 0 && length <= TOO_MUCH && stream_in_turn(hub, args[0], &descriptor) < 0)
        return NULL;
    if (descriptor < 0)
        return point_original(&pipe_points[READ], module, args, count, NULL);
    PyObject *result = PyBytes_FromStringAndSize(NULL, length);
    if (result == NULL)
        return NULL;
    Py_ssize_t before, moved = pipe_move(hub, descriptor, READING, PyBytes_AS_STRING(result), length, &before);
    if (moved < 0) {
        Py_DECREF(result);
        return moved == FAILED ? NULL : point_original(&pipe_points[READ], module, args, count, NULL);
    }
    if (moved != length)
        _PyBytes_Resize(&result, moved);
    return result;
}

static PyObject *
move_buffer(enum direction direction, const struct point *point, PyObject *const *args, Py_ssize_t count)
{
    struct hub *hub = point_hub(point);
    int descriptor = -1;
    if (count == 2 && stream_in_turn(hub, args[0], &descriptor) < 0)
        return NULL;
    if (descriptor < 0)
        return point_original(point, NULL, args, count, NULL);
    Py_buffer buffer;
    if (PyObject_GetBuffer(args[1], &buffer, direction == READING ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0) {
        PyErr_Clear();               /* the original has words of its own for it */
        return point_original(point, NULL, args, count, NULL);
    }
    Py_ssize_t before, moved = pipe_move(hub, descriptor, direction, buffer.buf, buffer.len, &before);
    PyBuffer_Release(&buffer);
    if (moved == LEAVE_TO_ORIGINAL)
        return point_original(point, NULL, args, count, NULL);
    return number_moved(hub, moved, before);
}

static PyObject *
point_readinto(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    return move_buffer(READING, &pipe_points[READINTO], args, count);
}

static PyObject *
point_write(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    return move_buffer(WRITING, &pipe_points[WRITE], args, count);
}

static PyObject *
point_eventfd_read(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &pipe_points[EVENTFD_READ];
    struct hub *hub = point_hub(point);
    int descriptor = -1;
    if (count == 1 && names == NULL && stream_in_turn(hub, args[0], &descriptor) < 0)
        return NULL;
    uint64_t value;
    Py_ssize_t before, moved = descriptor < 0 ? LEAVE_TO_ORIGINAL
                                              : pipe_move(hub, descriptor, READING, &value, sizeof value, &before);
    if (moved == FAILED)
        return NULL;
    return moved == sizeof value ? PyLong_FromUnsignedLongLong(value)
                                 : point_original(point, module, args, count, names);
}

/* ---- several buffers ---- */

/* The buffers of a sequence, exported for the time of the call. */
struct exported {
    Py_buffer *buffers;
    struct iovec *vectors;
    int count;
    size_t total;
};

static void
exported_release(struct exported *exported)
{
    while (exported->count > 0)
        PyBuffer_Release(&exported->buffers[--exported->count]);
    PyMem_Free(exported->buffers);
    PyMem_Free(exported->vectors);
}

static int
exported_add(struct exported *exported, PyObject *sequence, int flags)
{
    PyObject *item = PySequence_GetItem(sequence, exported->count);
    if (item == NULL)
        return -1;
    Py_buffer *buffer = &exported->buffers[exported->count];
    int result = PyObject_GetBuffer(item, buffer, flags);
    Py_DECREF(item);
    if (result < 0)
        return -1;
    exported->vectors[exported->count++] = (struct iovec){buffer->buf, (size_t)buffer->len};
    exported->total += (size_t)buffer->len;
    return 0;
}

/* Returns -1 with the exception set that the original would raise. */
static int
exported_take(struct exported *exported, PyObject *sequence, Py_ssize_t count, int flags)
{
    *exported = (struct exported){PyMem_New(Py_buffer, count), PyMem_New(struct iovec, count), 0, 0};
    if (exported->buffers == NULL || exported->vectors == NULL)
        PyErr_NoMemory();
    else
        while (exported->count < count && exported_add(exported, sequence, flags) == 0)
            ;
    if (!PyErr_Occurred())
        return 0;
    exported_release(exported);
    return -1;
}

static PyObject *
move_buffers(enum direction direction, const struct point *point, PyObject *const *args, Py_ssize_t count)
{
    struct hub *hub = point_hub(point);
    int descriptor = -1;
    if (count == 2 && PySequence_Check(args[1]) && stream_in_turn(hub, args[0], &descriptor) < 0)
        return NULL;
    Py_ssize_t buffers = descriptor >= 0 ? PySequence_Size(args[1]) : 0;
    if (buffers < 0)
        return NULL;
    if (buffers == 0 || buffers > IOV_MAX)
        return point_original(point, NULL, args, count, NULL);
    struct exported exported;
    if (exported_take(&exported, args[1], buffers, direction == READING ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0)
        return NULL;
    struct bytes bytes = {exported.vectors, exported.count, exported.total};
    Py_ssize_t moved_before = 0, moved = stream_move(hub, descriptor, direction, bytes, &moved_before);
    exported_release(&exported);
    if (moved == LEAVE_TO_ORIGINAL)
        return point_original(point, NULL, args, count, NULL);
    return number_moved(hub, moved, moved_before);
}

static PyObject *
point_readv(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    return move_buffers(READING, &pipe_points[READV], args, count);
}

static PyObject *
point_writev(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    return move_buffers(WRITING, &pipe_points[WRITEV], args, count);
}
