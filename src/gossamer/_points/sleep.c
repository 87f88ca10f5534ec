/* time.sleep: parks for the time. Whatever the original would refuse is left to it. */
#include "points.h"
#include "../_core/switch/cpython/audit.h"

static PyObject *point_sleep(PyObject *self, PyObject *argument);

struct point sleep_points[] = {
    {.module = "time", .name = "sleep", .function = point_sleep, .flags = METH_O, .kind = WAITER, .group = "time"},
    {.module = NULL},
};

static PyObject *
point_sleep(PyObject *self, PyObject *argument)
{
    struct hub *hub = point_hub(&sleep_points[0]);
    double seconds = hub != NULL ? seconds_from(argument) : -1;
    if (!(seconds >= 0 && seconds < 9e9))
        return point_original_o(&sleep_points[0], self, argument);
#if SLEEP_IS_AUDITED
    if (PySys_Audit("time.sleep", "O", argument) < 0)
        return NULL;
#endif
    return hub_pause(hub, seconds) < 0 ? NULL : Py_NewRef(Py_None);
}
