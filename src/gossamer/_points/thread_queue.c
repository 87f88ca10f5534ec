/* _queue.SimpleQueue: what concurrent.futures hands work over by.

   The queue below does all the work; only a green thread that finds it empty waits in the parking lot instead
   of in the queue's own lock. Whoever puts something in wakes the first of those; a native thread or a
   newcomer may be faster, and then it waits on, ahead of the others. One that was woken and is interrupted
   before it took anything wakes the next in its place. */
#include "threads.h"
#include "locks.h"

/* Whether there is something to get. Returns -1 with an exception set. */
static int
has_items(PyObject *queue)
{
    PyObject *length = call_named(queue, "qsize");
    int result = length != NULL ? PyObject_IsTrue(length) : -1;
    Py_XDECREF(length);
    return result;
}

/* Waits until there is something, or the deadline. Returns -1 with an exception set. */
static int
wait_for_item(struct hub *hub, PyObject *queue, int64_t deadline)
{
    for (bool again = false;; again = true) {
        int filled = has_items(queue);
        if (filled != 0)
            return filled < 0 ? -1 : 0;
        int outcome = parking_lot_park(hub, queue, deadline, again);
        if (outcome == TIMED_OUT)
            return 0;
        if (outcome < 0) {
            parking_lot_unpark(queue);
            return -1;
        }
    }
}

/* Puts what get(block=True, timeout=None) is given in a row. Returns false for what the original has to refuse. */
static bool
arguments_of(PyObject *const *args, Py_ssize_t count, PyObject *names, PyObject *row[2])
{
    static const char *const known[] = {"block", "timeout"};
    row[0] = Py_True;
    row[1] = Py_None;
    if (count > 2)
        return false;
    for (Py_ssize_t i = 0; i < count; i++)
        row[i] = args[i];
    for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(names); i++) {
        Py_ssize_t place = count;
        while (place < 2 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), known[place]) != 0)
            place++;
        if (place == 2)
            return false;
        row[place] = args[count + i];
    }
    return true;
}

/* Returns false for what does not block, or what the original has to judge. */
static bool
will_wait(PyObject *block, PyObject *timeout, int64_t *deadline)
{
    *deadline = INT64_MAX;
    int truth = PyObject_IsTrue(block);
    if (truth < 0)
        PyErr_Clear();
    if (truth <= 0)
        return false;
    if (timeout == Py_None)
        return true;
    double seconds = seconds_from(timeout);
    if (!(seconds >= 0 && seconds <= PY_TIMEOUT_MAX / 1e6))
        return false;
    *deadline = deadline_after(seconds);
    return true;
}

PyObject *
point_queue_get(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &thread_points[QUEUE_GET];
    struct hub *hub = point_hub(point);
    int64_t deadline;
    PyObject *row[2];
    if (hub == NULL || !arguments_of(args, count, names, row) || !will_wait(row[0], row[1], &deadline))
        return point_original(point, self, args, count, names);
    int filled = has_items(self);
    if (filled < 0 || (!filled && wait_for_item(hub, self, deadline) < 0))
        return NULL;
    PyObject *now = Py_False;
    return point_original(point, self, &now, 1, NULL);
}

/* put() and put_nowait() */
static PyObject *
queue_put(const struct point *point, PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *result = point_original(point, self, args, count, names);
    if (result != NULL)
        parking_lot_unpark(self);
    return result;
}

PyObject *
point_queue_put(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return queue_put(&thread_points[QUEUE_PUT], self, args, count, names);
}

PyObject *
point_queue_put_nowait(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return queue_put(&thread_points[QUEUE_PUT_NOWAIT], self, args, count, names);
}
