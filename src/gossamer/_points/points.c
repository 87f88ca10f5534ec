/* Installing blocking points: see points.h. */
#include "points.h"

#include <pythread.h>
#include <limits.h>
#include <string.h>

static struct point *const tables[] = {
    deferred_points, sleep_points, lock_points, rlock_points, condition_points, socket_points, select_points,
    thread_points, pipe_points, process_points, semaphore_points, signal_points, ssl_points,
    resolve_points, pooled_points, sqlite_points, file_points, buffered_points, splice_points,
    finalizing_points,
};

PyObject *
point_original(const struct point *point, PyObject *self, PyObject *const *args, Py_ssize_t count,
               PyObject *names)
{
    if (point->type == NULL)
        return PyObject_Vectorcall(point->original, args, (size_t)count, names);
    Py_ssize_t total = count + (names != NULL ? PyTuple_GET_SIZE(names) : 0);
    PyObject *few[8], **all = few;
    if (total + 1 > (Py_ssize_t)(sizeof few / sizeof *few)
        && (all = PyMem_Malloc((size_t)(total + 1) * sizeof *all)) == NULL)
        return PyErr_NoMemory();
    all[0] = self;
    for (Py_ssize_t i = 0; i < total; i++)
        all[i + 1] = args[i];
    PyObject *result = PyObject_Vectorcall(point->original, all, (size_t)count + 1, names);
    if (all != few)
        PyMem_Free(all);
    return result;
}

PyObject *
number_from(PyObject *argument)
{
    if (PyFloat_Check(argument) || PyLong_Check(argument))
        return Py_NewRef(argument);
    PyObject *number = NULL;
    if (PyIndex_Check(argument))
        number = PyNumber_Index(argument);
#if TIMES_TAKE_ANY_FLOAT
    else
        number = PyFloat_FromDouble(PyFloat_AsDouble(argument));
#endif
    if (PyErr_Occurred()) {
        PyErr_Clear();
        Py_CLEAR(number);
    }
    return number;
}

double
seconds_from(PyObject *argument)
{
    PyObject *number = number_from(argument);
    double seconds = number != NULL ? PyFloat_AsDouble(number) : Py_NAN;
    Py_XDECREF(number);
    if (seconds == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return Py_NAN;
    }
    return seconds;
}

int
natural_from(PyObject *argument)
{
    int overflow;
    PyObject *number = PyLong_Check(argument) || PyIndex_Check(argument) ? number_from(argument) : NULL;
    long value = number != NULL ? PyLong_AsLongAndOverflow(number, &overflow) : -1;
    Py_XDECREF(number);
    return value >= 0 && value <= INT_MAX ? (int)value : -1;
}

unsigned long
current_identity(void)
{
    struct thread *thread = current_thread;
    if (thread != NULL) {
        const struct fiber *fiber = thread->current;
        for (; fiber != NULL && !fiber->is_main; fiber = fiber->parent != NULL ? fiber->parent->fiber : NULL)
            if (fiber->is_green)
                return (unsigned long)(uintptr_t)fiber->object;
    }
    return PyThread_get_thread_ident();
}

/* 1: it will be raised; 0: it is of another kind; -1: an exception is set. */
static int
put_off(struct hub *hub, PyObject *exception)
{
    int result = timeout_put_off(exception);
    if (result == 0 && PyErr_GivenExceptionMatches(exception, core.greenlet_exit))
        result = green_thread_throw(hub->thread->current->object, exception);
    return result;
}

bool
point_put_off(struct hub *hub)
{
    if (PyErr_ExceptionMatches(PyExc_OSError)) {
        PyErr_Clear();
        return true;
    }
    if (hub == NULL)
        return false;
    PyObject *exception = PyErr_GetRaisedException();
    int result = put_off(hub, exception);
    if (result > 0) {
        Py_DECREF(exception);
        /* so that the next call gives way, and meets it, before it moves more */
        hub->calls = 1;
        hub->polled_at = 0;
        return true;
    }
    PyErr_Clear();
    PyErr_SetRaisedException(exception);
    return false;
}

/* ---- installing ---- */

static bool
exists_in_this_version(const struct point *point)
{
    unsigned version = PY_VERSION_HEX >> 16;
    return (point->since == 0 || version >= point->since) && (point->until == 0 || version < point->until);
}

/* The type that a point is a method of: an attribute of its module, or what a factory there makes
   (select.poll is a function). New reference, or NULL with an exception set. */
static PyObject *
type_of(const struct point *point, PyObject *module)
{
    PyObject *found = PyObject_GetAttrString(module, point->type);
    if (found == NULL || PyType_Check(found))
        return found;
    PyObject *instance = PyObject_CallNoArgs(found);
    Py_DECREF(found);
    PyObject *type = instance != NULL ? Py_NewRef((PyObject *)Py_TYPE(instance)) : NULL;
    Py_XDECREF(instance);
    return type;
}

/* The function or descriptor to change. NULL, with or without an exception, when there is none. */
static PyObject *
target_of(const struct point *point)
{
    PyObject *module = PyImport_ImportModule(point->module);
    if (module == NULL)
        return NULL;
    PyObject *target;
    if (point->type == NULL) {
        target = PyObject_GetAttrString(module, point->name);
    }
    else {
        PyObject *type = type_of(point, module);
        target = type != NULL ? Py_XNewRef(PyDict_GetItemString(((PyTypeObject *)type)->tp_dict, point->name)) : NULL;
        Py_XDECREF(type);
    }
    Py_DECREF(module);
    return target;
}

/* Prepares both definitions. Returns -1 with an exception set. */
static int
definitions_fill(struct point *point, const PyMethodDef *before)
{
    point->before = before;
    point->original_definition = *before;
    point->definition = (PyMethodDef){before->ml_name, point->function, point->flags, before->ml_doc};
    PyObject *model = PyCFunction_NewEx(&point->definition, NULL, NULL);
    if (model == NULL)
        return -1;
    point->bound_vectorcall = ((PyCFunctionObject *)model)->vectorcall;
    Py_DECREF(model);
    return 0;
}

static int
install_function(struct point *point, PyCFunctionObject *target)
{
    if (strcmp(target->m_ml->ml_name, point->name) != 0)
        return 0;
    if (definitions_fill(point, target->m_ml) < 0)
        return -1;
    point->original = PyCMethod_New(&point->original_definition, target->m_self, target->m_module,
                                    PyCFunction_GET_CLASS((PyObject *)target));
    if (point->original == NULL)
        return -1;
    target->m_ml = &point->definition;
    target->vectorcall = point->bound_vectorcall;
    return 1;
}

static int
install_method(struct point *point, PyMethodDescrObject *target)
{
    if (strcmp(target->d_method->ml_name, point->name) != 0)
        return 0;
    if (definitions_fill(point, target->d_method) < 0)
        return -1;
    PyTypeObject *type = PyDescr_TYPE(target);
    point->original = PyDescr_NewMethod(type, &point->original_definition);
    PyObject *model = PyDescr_NewMethod(type, &point->definition);
    if (point->original == NULL || model == NULL) {
        Py_XDECREF(model);
        return -1;
    }
    target->d_method = &point->definition;
    target->vectorcall = ((PyMethodDescrObject *)model)->vectorcall;
    Py_DECREF(model);
    return 1;
}

/* "name($self)\n--\n\n" and what the function says of itself, to be kept for good. NULL without memory. */
static const char *
documentation_of(const struct point *point, PyFunctionObject *target)
{
    const char *text = PyUnicode_Check(target->func_doc) ? PyUnicode_AsUTF8(target->func_doc) : "";
    static const char separator[] = "\n--\n\n";
    size_t size = text != NULL ? strlen(point->signature) + sizeof separator + strlen(text) : 0;
    char *documentation = text != NULL ? PyMem_Malloc(size) : NULL;
    if (documentation == NULL)
        return PyErr_Occurred() ? NULL : (PyErr_NoMemory(), NULL);
    snprintf(documentation, size, "%s%s%s", point->signature, separator, text);
    return documentation;
}

static int
install_python_method(struct point *point, PyFunctionObject *target)
{
    PyObject *module = PyImport_ImportModule(point->module);
    PyObject *type = module != NULL ? type_of(point, module) : NULL;
    Py_XDECREF(module);
    if (type == NULL)
        return -1;
    int result = 0;
    bool expected = target->func_module != NULL && PyUnicode_Check(target->func_module)
                    && PyUnicode_CompareWithASCIIString(target->func_module, point->module) == 0
                    && PyUnicode_CompareWithASCIIString(target->func_name, point->name) == 0;
    if (expected) {
        const char *documentation = documentation_of(point, target);
        point->definition = (PyMethodDef){point->name, point->function, point->flags, documentation};
        PyObject *ours = documentation != NULL ? PyDescr_NewMethod((PyTypeObject *)type, &point->definition) : NULL;
        result = ours != NULL && PyObject_SetAttrString(type, point->name, ours) == 0 ? 1 : -1;
        Py_XDECREF(ours);
    }
    if (result == 1)
        point->original = Py_NewRef((PyObject *)target);
    Py_DECREF(type);
    return result;
}

static const struct point *
point_with_definition(const PyMethodDef *before)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct point *point = tables[t]; point->module != NULL; point++)
            if (point->original != NULL && point->before == before)
                return point;
    return NULL;
}

/* Changes the function objects that were made from a replaced definition before. */
static int
rebind_existing(void)
{
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *objects = gc != NULL ? PyObject_CallMethod(gc, "get_objects", NULL) : NULL;
    Py_XDECREF(gc);
    if (objects == NULL)
        return -1;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(objects); i++) {
        PyObject *object = PyList_GET_ITEM(objects, i);
        if (!PyCFunction_Check(object))
            continue;
        PyCFunctionObject *function = (PyCFunctionObject *)object;
        const struct point *point = point_with_definition(function->m_ml);
        if (point != NULL) {
            function->m_ml = (PyMethodDef *)&point->definition;
            function->vectorcall = point->bound_vectorcall;
        }
    }
    Py_DECREF(objects);
    return 0;
}

/* 1: installed, 0: the target is not what was expected, -1: an exception is set. */
static int
install(struct point *point)
{
    PyObject *module = PyImport_ImportModule(point->module);
    Py_XDECREF(module);
    if (module == NULL) {
        if (PyErr_ExceptionMatches(PyExc_ImportError))
            PyErr_Clear();
        return PyErr_Occurred() ? -1 : 0;
    }
    if (point->probe != NULL && point->original == NULL && !point->probe())
        return PyErr_Occurred() ? -1 : 0;
    if (point->original != NULL)
        return 1;                    /* deferred.c did so while the module was loaded, or probed */
    PyObject *target = target_of(point);
    if (target == NULL) {
        if (PyErr_ExceptionMatches(PyExc_ImportError) || PyErr_ExceptionMatches(PyExc_AttributeError))
            PyErr_Clear();
        return PyErr_Occurred() ? -1 : 0;
    }
    int result = 0;
    if (point->type == NULL && PyCFunction_Check(target))
        result = install_function(point, (PyCFunctionObject *)target);
    else if (point->type != NULL && Py_IS_TYPE(target, &PyMethodDescr_Type))
        result = install_method(point, (PyMethodDescrObject *)target);
    else if (point->signature != NULL && PyFunction_Check(target))
        result = install_python_method(point, (PyFunctionObject *)target);
    Py_DECREF(target);
    return result;
}

/* ---- the Python interface ---- */

static PyObject *
point_name(const struct point *point)
{
    return point->type != NULL ? PyUnicode_FromFormat("%s.%s.%s", point->module, point->type, point->name)
                               : PyUnicode_FromFormat("%s.%s", point->module, point->name);
}

static bool
module_is_loaded(const char *name)
{
    return PyDict_GetItemString(PyImport_GetModuleDict(), name) != NULL;
}

/* 1: installed now; 0: it was, or cannot be, and then its name is added to `missing` unless that is NULL; -1: an
   exception is set. */
static int
install_row(struct point *point, PyObject *missing)
{
    if (point->original != NULL || !exists_in_this_version(point))
        return 0;
    int result = install(point);
    PyObject *name = result == 0 && missing != NULL ? point_name(point) : NULL;
    if (result == 0 && missing != NULL && (name == NULL || PyList_Append(missing, name) < 0))
        result = -1;
    Py_XDECREF(name);
    return result;
}

int
points_install_module(const char *name)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (struct point *point = tables[t]; point->module != NULL; point++)
            if (strcmp(point->module, name) == 0 && install_row(point, NULL) < 0)
                return -1;
    return 0;
}

/* Installs the points of all modules, or of those that are loaded. A list of the names that could not be, or NULL. */
static PyObject *
install_all(bool of_all_modules)
{
    PyObject *missing = PyList_New(0);
    bool installed = false;
    for (size_t t = 0; missing != NULL && t < sizeof tables / sizeof *tables; t++) {
        for (struct point *point = tables[t]; missing != NULL && point->module != NULL; point++) {
            if (!of_all_modules && !module_is_loaded(point->module))
                continue;            /* deferred.c will see to it */
            int result = install_row(point, missing);
            installed = installed || result == 1;
            if (result < 0)
                Py_CLEAR(missing);
        }
    }
    if (missing != NULL && installed && (rebind_existing() < 0 || signals_hook_existing() < 0))
        Py_CLEAR(missing);
    return missing;
}

static PyObject *
core_points_install(PyObject *Py_UNUSED(module), PyObject *args)
{
    int of_all_modules = false;
    return PyArg_ParseTuple(args, "|p:points_install", &of_all_modules) ? install_all(of_all_modules) : NULL;
}

static int
install_with_first_hub(void)
{
    PyObject *missing = install_all(false);
    Py_XDECREF(missing);
    return missing != NULL ? 0 : -1;
}

static int
row_add(PyObject *rows, const struct point *point)
{
    PyObject *name = point_name(point);
    PyObject *row = name != NULL ? Py_BuildValue("(NssO)", name, point->group,
                                                 point->kind == WAITER ? "waiter" : "waker",
                                                 point->on ? Py_True : Py_False)
                                 : NULL;
    int result = row != NULL ? PyList_Append(rows, row) : -1;
    Py_XDECREF(row);
    return result;
}

static PyObject *
core_points(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyObject *rows = PyList_New(0);
    for (size_t t = 0; rows != NULL && t < sizeof tables / sizeof *tables; t++)
        for (const struct point *point = tables[t]; rows != NULL && point->module != NULL; point++)
            if (point->original != NULL && row_add(rows, point) < 0)
                Py_CLEAR(rows);
    return rows;
}

static PyObject *
core_points_switch(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *group;
    int on;
    Py_ssize_t count = 0;
    if (!PyArg_ParseTuple(args, "sp:points_switch", &group, &on) || install_with_first_hub() < 0)
        return NULL;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        for (struct point *point = tables[t]; point->module != NULL; point++) {
            if (exists_in_this_version(point) && strcmp(point->group, group) == 0) {
                point->on = on;
                count += point->original != NULL;
            }
        }
    }
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (struct point *point = tables[t]; point->module != NULL; point++)
            if (point->original != NULL && point->switched != NULL && strcmp(point->group, group) == 0)
                point->switched(on);
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(count);
}

static const struct point *
point_named(const char *module, const char *type, const char *name)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct point *point = tables[t]; point->module != NULL; point++)
            if (strcmp(point->module, module) == 0 && strcmp(point->name, name) == 0 && exists_in_this_version(point)
                && (type == NULL) == (point->type == NULL) && (type == NULL || strcmp(type, point->type) == 0))
                return point;
    return NULL;
}

static PyObject *
core_original(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *module, *type, *name;
    if (!PyArg_ParseTuple(args, "szs:original", &module, &type, &name))
        return NULL;
    const struct point *point = point_named(module, type, name);
    if (point != NULL && point->original == NULL && deferred_points[0].original != NULL) {
        /* perhaps its module is not loaded yet */
        Py_XDECREF(PyImport_ImportModule(module));
        if (PyErr_ExceptionMatches(PyExc_ImportError))
            PyErr_Clear();
    }
    if (PyErr_Occurred())
        return NULL;
    return Py_NewRef(point != NULL && point->original != NULL ? point->original : Py_None);
}

static PyMethodDef functions[] = {
    {"points_install", core_points_install, METH_VARARGS,
     "points_install(of_all_modules=False, /)\n--\n\n"
     "Install the blocking points of this CPython version; a second call adds what was missing.\n\n"
     "Those of a module that is not loaded follow when it is, unless `of_all_modules` has it imported now. Returns the\n"
     "names of those whose target is not what Gossamer expects: they stay as they are."},
    {"points", core_points, METH_NOARGS,
     "points()\n--\n\nA list of (name, group, 'waiter' or 'waker', on) of the installed blocking points."},
    {"points_switch", core_points_switch, METH_VARARGS,
     "points_switch(group, on, /)\n--\n\n"
     "Switch the points of a group on or off, also those to come. Returns how many there are by now."},
    {"original", core_original, METH_VARARGS,
     "original(module, type, name, /)\n--\n\n"
     "The original of a point, callable as ever; `type` is None for functions. None when it is no point."},
    {NULL, NULL, 0, NULL},
};

int
points_ready(PyObject *module)
{
    core.first_hub_hook = install_with_first_hub;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (struct point *point = tables[t]; point->module != NULL; point++)
            point->on = !point->off_at_first;
    return streams_add(module) < 0 ? -1 : PyModule_AddFunctions(module, functions);
}
