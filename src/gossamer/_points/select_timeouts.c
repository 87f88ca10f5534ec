/* How timeouts are read: see select_timeouts.h. */
#include "select_timeouts.h"

#include <limits.h>
#include <math.h>

const struct timing select_timing = {1000000000, INT64_MAX, INT64_MIN};
const struct timing poll_timing = {1000000, POLL_WAITS_LONG ? INT64_MAX : INT_MAX * (int64_t)1000000, -1};
/* rounded up to milliseconds, a fraction of one below 0 is 0 */
const struct timing epoll_timing = {1000000000, INT_MAX * (int64_t)1000000, -1000000};

static bool
float_to_nanoseconds(double value, int64_t unit, int64_t *nanoseconds)
{
    value *= (double)unit;
    value = value >= 0 ? ceil(value) : floor(value);
    if (!(value >= -0x1p63 && value < 0x1p63))
        return false;
    *nanoseconds = (int64_t)value;
    return true;
}

static bool
int_to_nanoseconds(PyObject *value, int64_t unit, int64_t *nanoseconds)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    return overflow == 0 && !__builtin_mul_overflow(number, unit, nanoseconds);
}

int64_t
time_to_wait(PyObject *timeout, const struct timing *timing)
{
    if (timeout == NULL || timeout == Py_None)
        return INT64_MAX;
    PyObject *number = number_from(timeout);
    if (number == NULL)
        return 0;
    int64_t nanoseconds;
    bool known = PyFloat_Check(number) ? float_to_nanoseconds(PyFloat_AS_DOUBLE(number), timing->unit, &nanoseconds)
                                       : int_to_nanoseconds(number, timing->unit, &nanoseconds);
    Py_DECREF(number);
    if (!known || nanoseconds > timing->longest || nanoseconds < -timing->longest)
        return 0;
    if (nanoseconds <= timing->endless)
        return INT64_MAX;
    return nanoseconds > 0 ? nanoseconds : 0;
}

int64_t
deadline_in(int64_t nanoseconds)
{
    int64_t deadline;
    return __builtin_add_overflow(clock_now(), nanoseconds, &deadline) ? INT64_MAX : deadline;
}
