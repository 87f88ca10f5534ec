/* close() of files that are dropped: the interpreter calls it, and clears whatever it raises.

   What is still in a buffer is written then, and a full pipe makes that wait. A kill or a timeout that ends such a wait
   would be gone without a word, and who was to be killed would go on. So it is raised again at the next wait, as is one
   that comes after a part of a call (point_put_off).

   Of an exception that a __del__() or a weak reference's callback lets out, the interpreter tells sys.unraisablehook:
   that is told of such a kill, too, and nothing more comes of it, as with any other exception there.

   The types here have no other reason to be points; BufferedWriter is buffered.c's. */
#include "finalizing.h"

static PyObject *text_close(PyObject *self, PyObject *ignored);
static PyObject *pair_close(PyObject *self, PyObject *ignored);

#define CLOSE_POINT(type_name, ours) \
    {.module = "_io", .type = type_name, .name = "close", .function = ours, .flags = METH_NOARGS, .kind = WAITER, \
     .group = "os"}

enum { TEXT, PAIR };

struct point finalizing_points[] = {
    [TEXT] = CLOSE_POINT("TextIOWrapper", text_close),
    [PAIR] = CLOSE_POINT("BufferedRWPair", pair_close),
    {.module = NULL},
};

/* Whether it is the object's end that closes it. */
static bool
is_finalizing(PyObject *self)
{
    PyObject *mark = attribute_named(self, "_finalizing");
    if (mark == NULL)
        PyErr_Clear();
    Py_XDECREF(mark);
    return mark == Py_True;
}

PyObject *
close_result(const struct point *point, PyObject *self, PyObject *result)
{
    struct hub *hub = result == NULL ? point_hub(point) : NULL;
    if (likely(hub == NULL) || hub->closing || PyErr_ExceptionMatches(PyExc_Exception))
        return result;
    PyObject *exception = PyErr_GetRaisedException();
    if (is_finalizing(self))
        hub_put_off(hub, exception);
    PyErr_SetRaisedException(exception);
    return NULL;
}

static PyObject *
text_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    const struct point *point = &finalizing_points[TEXT];
    return close_result(point, self, point_original_noargs(point, self));
}

static PyObject *
pair_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    const struct point *point = &finalizing_points[PAIR];
    return close_result(point, self, point_original_noargs(point, self));
}
