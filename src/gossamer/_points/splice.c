/* os.splice(): bytes from one descriptor to another, one of which is a pipe, without a way through the program.

   - SPLICE_F_NONBLOCK speaks of the pipe alone: a socket at the other end makes the call wait all the same, unless it
     has O_NONBLOCK. It gets that for the one system call, as for sendfile() (socket_connections.c).
   - Nothing says which end was not ready: both are looked at, and the one that is not is waited for. When both seem to
     be (a socket with room for less than a page), it is tried again after a pause.
   - A call with SPLICE_F_NONBLOCK, or on a stream with O_NONBLOCK, is the original's. So is one with two ends that
     never make it wait. */
#include "file_identity.h"
#include "socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

static PyObject *point_splice(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);

struct point splice_points[] = {
    {.module = "os", .name = "splice", .function = (PyCFunction)(void (*)(void))point_splice,
     .flags = METH_FASTCALL | METH_KEYWORDS, .kind = WAITER, .group = "os"},
    {.module = NULL},
};

/* Seconds. */
#define SHORTEST_PAUSE 0.0005
#define LONGEST_PAUSE 0.02

struct end {
    int descriptor;
    enum direction direction;
    int flags;                       /* of the open file */
    struct file_identity file;
    bool is_socket, is_stream;
};

/* ---- arguments ---- */

enum { SOURCE, DESTINATION, LENGTH, SOURCE_OFFSET, DESTINATION_OFFSET, FLAGS, ARGUMENTS };

/* Puts the arguments in a row; NULL: not given. Returns false for what the original has to judge. */
static bool
arguments_from(PyObject *const *args, Py_ssize_t count, PyObject *names, PyObject *row[ARGUMENTS])
{
    static const char *const known[] = {"src", "dst", "count", "offset_src", "offset_dst", "flags"};
    Py_ssize_t named = names != NULL ? PyTuple_GET_SIZE(names) : 0;
    if (count + named > ARGUMENTS)
        return false;
    for (Py_ssize_t i = 0; i < ARGUMENTS; i++)
        row[i] = i < count ? args[i] : NULL;
    for (Py_ssize_t i = 0; i < named; i++) {
        Py_ssize_t place = 0;
        while (place < ARGUMENTS && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), known[place]) != 0)
            place++;
        if (place == ARGUMENTS || row[place] != NULL)
            return false;
        row[place] = args[count + i];
    }
    return row[SOURCE] != NULL && row[DESTINATION] != NULL && row[LENGTH] != NULL;
}

/* The flags with SPLICE_F_NONBLOCK. NULL without an exception when it is there, or for the original to judge. */
static PyObject *
patient_flags(PyObject *given)
{
    int flags = given != NULL ? natural_from(given) : 0;
    return flags >= 0 && !(flags & SPLICE_F_NONBLOCK) ? PyLong_FromLong(flags | SPLICE_F_NONBLOCK) : NULL;
}

/* Returns false when nobody waits for this end, which then is no stream, or when the original is to judge it. */
static bool
end_from(PyObject *argument, enum direction direction, struct end *end)
{
    struct stat status;
    int descriptor = descriptor_from(&argument, 1, NULL, 0, "");
    if (descriptor < 0 || fstat(descriptor, &status) < 0)
        return false;
    *end = (struct end){.descriptor = descriptor, .direction = direction, .flags = fcntl(descriptor, F_GETFL),
                        .file = {status.st_dev, status.st_ino}, .is_socket = S_ISSOCK(status.st_mode)};
    end->is_stream = end->is_socket || S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode);
    return end->flags >= 0 && !(end->is_stream && (end->flags & O_NONBLOCK));
}

/* ---- trying and waiting ---- */

static int
end_lend(const struct end *end)
{
    if (!end->is_socket)
        return 0;
    if (lend(end->descriptor) < 0)
        return -1;
    fcntl(end->descriptor, F_SETFL, end->flags | O_NONBLOCK);
    return 0;
}

static void
end_give_back(const struct end *end)
{
    if (end->is_socket)
        fcntl(end->descriptor, F_SETFL, end->flags);
}

static PyObject *
splice_once(PyObject *const *row, const struct end ends[2])
{
    PyObject *result = NULL;
    if (end_lend(&ends[SOURCE]) < 0)
        return NULL;
    if (end_lend(&ends[DESTINATION]) == 0) {
        result = point_original(&splice_points[0], NULL, row, ARGUMENTS, NULL);
        end_give_back(&ends[DESTINATION]);
    }
    end_give_back(&ends[SOURCE]);
    return result;
}

static bool
end_is_ready(const struct end *end)
{
    struct pollfd entry = {.fd = end->descriptor, .events = end->direction == READING ? POLLIN : POLLOUT};
    return poll(&entry, 1, 0) != 0;
}

static int
wait_for_one(struct hub *hub, const struct end ends[2], double *pause)
{
    for (int place = SOURCE; place <= DESTINATION; place++)
        if (!end_is_ready(&ends[place]))
            return hub_wait_descriptor(hub, ends[place].descriptor, ends[place].direction, INT64_MAX);
    *pause = *pause == 0 ? SHORTEST_PAUSE : *pause < LONGEST_PAUSE ? 2 * *pause : *pause;
    return hub_pause(hub, *pause);
}

/* Returns -1 with an exception set, also when one of the ends was closed meanwhile. */
static int
wait_for_ends(struct hub *hub, const struct end ends[2], double *pause)
{
    if (wait_for_one(hub, ends, pause) < 0)
        return -1;
    for (int place = SOURCE; place <= DESTINATION; place++)
        if (file_identity_check(ends[place].descriptor, ends[place].file) < 0)
            return -1;
    return 0;
}

static PyObject *
splice_patiently(struct hub *hub, PyObject *const *row, const struct end ends[2])
{
    double pause = 0;
    for (;;) {
        PyObject *result = splice_once(row, ends);
        if (result != NULL || pending_errno() != EAGAIN)
            return result;
        PyErr_Clear();
        if (wait_for_ends(hub, ends, &pause) < 0)
            return NULL;
    }
}

static PyObject *
point_splice(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct hub *hub = point_hub(&splice_points[0]);
    PyObject *row[ARGUMENTS];
    struct end ends[2];
    if (hub == NULL || !arguments_from(args, count, names, row) || hub_give_way_at_times(hub) < 0)
        return PyErr_Occurred() ? NULL : point_original(&splice_points[0], module, args, count, names);
    PyObject *flags = end_from(row[SOURCE], READING, &ends[SOURCE])
                          && end_from(row[DESTINATION], WRITING, &ends[DESTINATION])
                      ? patient_flags(row[FLAGS]) : NULL;
    if (flags == NULL)
        return PyErr_Occurred() ? NULL : point_original(&splice_points[0], module, args, count, names);
    row[FLAGS] = flags;
    for (int place = SOURCE_OFFSET; place <= DESTINATION_OFFSET; place++)
        row[place] = row[place] != NULL ? row[place] : Py_None;
    PyObject *result = splice_patiently(hub, row, ends);
    Py_DECREF(flags);
    return result;
}
