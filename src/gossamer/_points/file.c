/* _io.FileIO: what open(), os.fdopen(), sys.stdin, sys.stdout and the pipes of subprocess read and write by.

   - The C code of the buffers above finds these methods by name, so that every way to use a file comes by here.
   - Files that can be positioned have the original, at its old speed: the object knows that it can, from the first use
     or the moment that a buffer was put above it. (Descriptor 1 made a pipe by dup2() below a sys.stdout that was a
     regular file is taken for a regular file on and on.)
   - The rest is moved as os.read() and os.write() do: see pipe.c.
   - read() without a size and readall() read piece by piece to the end. As with the original, an exception loses
     what was read so far.
   - A write that is interrupted after a part went out says how much that was. If a buffer asks, the exception
     comes with the next piece: otherwise the buffer would write the part again. For whoever writes to a FileIO directly
     it is as with os.write().
   - close() ends the waits of those who read or write the same number, before it does anything else: once the number is
     free, another thread may get it.
   - The hub greenlet cannot wait. What it writes blocks its thread, so that a print() in a callback does not fail
     when a pipe is full for a moment; when it reads and nothing is there, that is a BlockingSwitchOutError. */
#include "file.h"
#include "pipe.h"

#include <fcntl.h>
#include <unistd.h>

static PyObject *file_read(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *file_readall(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *file_readinto(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *file_write(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *file_close(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);

static bool file_probe(void);

#define FILE_POINT(method, ours, sort) \
    {.module = "_io", .type = "FileIO", .name = method, .function = (PyCFunction)(void (*)(void))ours, \
     .flags = METH_FASTCALL | METH_KEYWORDS, .kind = sort, .group = "os", .probe = file_probe}

enum { READ, READALL, READINTO, WRITE, CLOSE };

struct point file_points[] = {
    [READ] = FILE_POINT("read", file_read, WAITER),
    [READALL] = FILE_POINT("readall", file_readall, WAITER),
    [READINTO] = FILE_POINT("readinto", file_readinto, WAITER),
    [WRITE] = FILE_POINT("write", file_write, WAITER),
    [CLOSE] = FILE_POINT("close", file_close, WAKER),
    {.module = NULL},
};

enum { FIRST_PIECE = 64 * 1024, LARGEST_PIECE = 1024 * 1024 };

/* ---- the object ---- */

/* The descriptor of a file that the caller may have to wait for, -1 when the original is to be called. */
static int
stream_of(const struct hub *hub, PyObject *self, enum direction direction)
{
    struct file_layout *file = (struct file_layout *)self;
    if (hub == NULL || file->descriptor < 0 || file_is_seekable(file))
        return -1;
    if (!(direction == READING ? file_is_readable(file) : file_is_writable(file)))
        return -1;
    if (!is_storage(file->descriptor))
        return file->descriptor;
    if (lseek(file->descriptor, 0, SEEK_CUR) >= 0)
        file_note_seekable(file);
    return -1;
}

/* The same, when others had their turn, if it is time for that. Returns -1 with an exception set. */
static int
stream_in_turn(struct hub *hub, PyObject *self, enum direction direction, int *descriptor)
{
    *descriptor = stream_of(hub, self, direction);
    int turn = *descriptor >= 0 ? hub_give_way_at_times(hub) : 0;
    if (turn > 0)
        *descriptor = stream_of(hub, self, direction);    /* it may be closed by now */
    return turn < 0 ? -1 : 0;
}

/* Whether an object for a descriptor looks inside as we believe. Closes the descriptor that it owns. */
static bool
looks_right(PyObject *type, int descriptor, const char *mode, bool seekable, bool owns)
{
    PyObject *object = PyObject_CallFunction(type, "isi", descriptor, mode, owns);
    PyObject *answer = object != NULL ? PyObject_CallMethod(object, "seekable", NULL) : NULL;
    const struct file_layout *file = (struct file_layout *)object;
    bool fits = answer != NULL && file->descriptor == descriptor && file_is_seekable(file) == seekable
                && (answer == Py_True) == seekable && file_is_readable(file) == (*mode == 'r')
                && file_is_writable(file) == (*mode == 'w') && file_owns_descriptor(file) == owns;
    PyObject *closed = object != NULL ? PyObject_CallMethod(object, "close", NULL) : NULL;
    fits = fits && closed != NULL;
    Py_XDECREF(closed);
    Py_XDECREF(answer);
    Py_XDECREF(object);
    return fits;
}

static bool
file_probe(void)
{
    static enum { UNKNOWN, FITS, DOES_NOT_FIT } answer;
    if (answer != UNKNOWN)
        return answer == FITS;
    PyObject *module = PyImport_ImportModule("_io");
    PyObject *type = module != NULL ? PyObject_GetAttrString(module, "FileIO") : NULL;
    int ends[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    bool fits = type != NULL && null >= 0 && looks_right(type, null, "r", true, true);
    if (fits && (fits = pipe2(ends, O_CLOEXEC) == 0)) {
        fits = looks_right(type, ends[0], "r", false, false) && looks_right(type, ends[1], "w", false, false);
        close(ends[0]);
        close(ends[1]);
    }
    Py_XDECREF(type);
    Py_XDECREF(module);
    answer = fits ? FITS : DOES_NOT_FIT;
    return fits;
}

/* ---- reading ---- */

static PyObject *
original_read(PyObject *self, Py_ssize_t length)
{
    PyObject *size = PyLong_FromSsize_t(length);
    PyObject *result = size != NULL ? point_original_o(&file_points[READ], self, size) : NULL;
    Py_XDECREF(size);
    return result;
}

/* What one read() gives: bytes, None when the descriptor is not to block, NULL with an exception set. */
static PyObject *
read_once(struct hub *hub, PyObject *self, Py_ssize_t length)
{
    int descriptor = -1;
    if (length > 0 && length <= TOO_MUCH && stream_in_turn(hub, self, READING, &descriptor) < 0)
        return NULL;
    if (descriptor < 0)
        return original_read(self, length);
    PyObject *result = PyBytes_FromStringAndSize(NULL, length);
    if (result == NULL)
        return NULL;
    Py_ssize_t before, moved = pipe_move(hub, descriptor, READING, PyBytes_AS_STRING(result), length, &before);
    if (moved < 0) {
        Py_DECREF(result);
        return moved == FAILED ? NULL : original_read(self, length);
    }
    if (moved != length)
        _PyBytes_Resize(&result, moved);
    return result;
}

/* Not by bytes.join: a name made for each call of it would stay in the interpreter's cache of methods. */
static PyObject *
joined(PyObject *pieces)
{
    Py_ssize_t count = PyList_GET_SIZE(pieces), length = 0;
    for (Py_ssize_t i = 0; i < count; i++)
        length += PyBytes_GET_SIZE(PyList_GET_ITEM(pieces, i));
    PyObject *result = PyBytes_FromStringAndSize(NULL, length);
    char *end = result != NULL ? PyBytes_AS_STRING(result) : NULL;
    for (Py_ssize_t i = 0; end != NULL && i < count; i++) {
        PyObject *piece = PyList_GET_ITEM(pieces, i);
        memcpy(end, PyBytes_AS_STRING(piece), (size_t)PyBytes_GET_SIZE(piece));
        end += PyBytes_GET_SIZE(piece);
    }
    return result;
}

/* Everything up to the end, or, when the descriptor is not to block, what there is: None if that is nothing. */
static PyObject *
read_to_end(struct hub *hub, PyObject *self)
{
    PyObject *pieces = PyList_New(0), *piece = NULL;
    for (Py_ssize_t length = FIRST_PIECE; pieces != NULL; length = length < LARGEST_PIECE ? 2 * length : length) {
        piece = read_once(hub, self, length);
        bool is_end = piece == Py_None || (piece != NULL && PyBytes_GET_SIZE(piece) == 0);
        if (is_end && !(piece == Py_None && PyList_GET_SIZE(pieces) == 0))
            Py_SETREF(piece, joined(pieces));
        if (is_end || piece == NULL || PyList_Append(pieces, piece) < 0) {
            if (PyErr_Occurred())
                Py_CLEAR(piece);
            Py_DECREF(pieces);
            return piece;
        }
        Py_DECREF(piece);
    }
    return NULL;
}

static PyObject *
file_readall(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &file_points[READALL];
    struct hub *hub = point_hub(point);
    if (count != 0 || names != NULL || stream_of(hub, self, READING) < 0)
        return point_original(point, self, args, count, names);
    return read_to_end(hub, self);
}

static PyObject *
file_read(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &file_points[READ];
    struct hub *hub = point_hub(point);
    bool to_the_end = count == 0 || (count == 1 && args[0] == Py_None);
    bool understood = names == NULL && (to_the_end || (count == 1 && PyIndex_Check(args[0])));
    if (!understood || stream_of(hub, self, READING) < 0)
        return point_original(point, self, args, count, names);
    Py_ssize_t length = to_the_end ? -1 : PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
    if (length == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return point_original(point, self, args, count, names);
    }
    return length < 0 ? read_to_end(hub, self) : read_once(hub, self, length);
}

static PyObject *
file_readinto(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &file_points[READINTO];
    struct hub *hub = point_hub(point);
    int descriptor = -1;
    Py_buffer buffer;
    if (count == 1 && names == NULL && stream_in_turn(hub, self, READING, &descriptor) < 0)
        return NULL;
    if (descriptor < 0)
        return point_original(point, self, args, count, names);
    if (PyObject_GetBuffer(args[0], &buffer, PyBUF_WRITABLE) < 0) {
        PyErr_Clear();                   /* the original has words of its own for it */
        return point_original(point, self, args, count, names);
    }
    Py_ssize_t before, moved = pipe_move(hub, descriptor, READING, buffer.buf, buffer.len, &before);
    PyBuffer_Release(&buffer);
    if (moved == LEAVE_TO_ORIGINAL)
        return point_original(point, self, args, count, names);
    return moved == FAILED ? NULL : PyLong_FromSsize_t(moved);
}

/* ---- writing and closing ---- */

static PyObject *
interrupted(struct hub *hub, PyObject *self, Py_ssize_t written)
{
    if (written == 0)
        return NULL;
    PyObject *exception = PyErr_GetRaisedException();
    if (buffered_postpone(hub, self, exception))
        return PyLong_FromSsize_t(written);
    PyErr_SetRaisedException(exception);
    return point_put_off(hub) ? PyLong_FromSsize_t(written) : NULL;
}

static PyObject *
file_write(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &file_points[WRITE];
    struct hub *hub = point_hub(point);
    bool may_park = hub != NULL && hub->thread->current != hub->home && count == 1 && names == NULL;
    int descriptor = -1;
    Py_buffer buffer;
    if (may_park && stream_in_turn(hub, self, WRITING, &descriptor) < 0)
        return NULL;
    if (descriptor < 0)
        return point_original(point, self, args, count, names);
    if (buffered_raise_postponed(hub, self) < 0)
        return NULL;
    if (PyObject_GetBuffer(args[0], &buffer, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        return point_original(point, self, args, count, names);
    }
    Py_ssize_t before, moved = pipe_move(hub, descriptor, WRITING, buffer.buf, buffer.len, &before);
    PyBuffer_Release(&buffer);
    if (moved == LEAVE_TO_ORIGINAL)
        return point_original(point, self, args, count, names);
    return moved == FAILED ? interrupted(hub, self, before) : PyLong_FromSsize_t(moved);
}

static PyObject *
file_close(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct file_layout *file = (struct file_layout *)self;
    if (file->descriptor >= 0 && file_owns_descriptor(file))
        descriptor_changed(file->descriptor, DESCRIPTOR_CLOSED);
    return point_original(&file_points[CLOSE], self, args, count, names);
}
