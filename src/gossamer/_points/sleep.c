/* time.sleep: parks for the time. Whatever the original would refuse is left to it. */
#include "points.h"

static PyObject *point_sleep(PyObject *self, PyObject *argument);

struct point sleep_points[] = {
    {.module = "time", .name = "sleep", .function = point_sleep, .flags = METH_O, .kind = WAITER, .group = "time"},
    {.module = NULL},
};

/* Seconds, or -1 for what the original has to judge: negative, nan, too long, not a number. */
static double
seconds_from(PyObject *argument)
{
    double seconds = -1;
    if (PyFloat_Check(argument))
        seconds = PyFloat_AS_DOUBLE(argument);
    else if (PyLong_Check(argument))
        seconds = PyLong_AsDouble(argument);
    if (seconds == -1 && PyErr_Occurred())
        PyErr_Clear();
    return seconds >= 0 && seconds < 9e9 ? seconds : -1;
}

static PyObject *
point_sleep(PyObject *self, PyObject *argument)
{
    struct hub *hub = point_hub(&sleep_points[0]);
    double seconds = hub != NULL ? seconds_from(argument) : -1;
    if (seconds < 0)
        return point_original_o(&sleep_points[0], self, argument);
    return hub_pause(hub, seconds) < 0 ? NULL : Py_NewRef(Py_None);
}
