/* Points of modules that are imported later than the first hub comes.

   Importing all of them for their points would cost each program the milliseconds and megabytes of _ssl and its kin. So
   those that nobody has imported yet get theirs when they are, before whoever imports them has seen them:

   - A module in C is complete when _imp.exec_dynamic() or _imp.exec_builtin() has run, by which the import system, in
     whatever thread, ends the loading of each. These are points, so that an import that was under way already, or
     a reference to them, changes nothing. A module that is not the one in sys.modules is somebody's private copy, and
     is left alone.
   - A module in Python says nothing when it is complete. But each class of it passes by builtins.__build_class__, and
     what we look for is there before its last class is. So that is a point too, which looks until all are there.

   A module that is being loaded by another thread while the first hub comes is waited for, as by any import. */
#include "points.h"

#include <string.h>

static PyObject *point_exec_dynamic(PyObject *self, PyObject *module);
static PyObject *point_exec_builtin(PyObject *self, PyObject *module);
static PyObject *point_build_class(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);

#define DEFERRED_POINT(module_name, function_name, ours, convention) \
    {.module = module_name, .name = function_name, .function = (PyCFunction)(void (*)(void))ours, \
     .flags = convention, .kind = WAKER, .group = "import"}

enum { EXEC_DYNAMIC, EXEC_BUILTIN, BUILD_CLASS };

struct point deferred_points[] = {
    [EXEC_DYNAMIC] = DEFERRED_POINT("_imp", "exec_dynamic", point_exec_dynamic, METH_O),
    [EXEC_BUILTIN] = DEFERRED_POINT("_imp", "exec_builtin", point_exec_builtin, METH_O),
    [BUILD_CLASS] = DEFERRED_POINT("builtins", "__build_class__", point_build_class, METH_FASTCALL | METH_KEYWORDS),
    {.module = NULL},
};

/* ---- modules in C ---- */

static bool
is_the_imported_one(const char *name, PyObject *module)
{
    return PyDict_GetItemString(PyImport_GetModuleDict(), name) == module;
}

static PyObject *
executed(const struct point *point, PyObject *self, PyObject *module)
{
    PyObject *result = point_original_o(point, self, module);
    if (result == NULL || !point->on || !PyModule_Check(module))
        return result;
    const char *name = PyModule_GetName(module);
    if (name == NULL)
        PyErr_Clear();
    else if (is_the_imported_one(name, module) && points_install_module(name) < 0)
        Py_CLEAR(result);
    return result;
}

static PyObject *
point_exec_dynamic(PyObject *self, PyObject *module)
{
    return executed(&deferred_points[EXEC_DYNAMIC], self, module);
}

static PyObject *
point_exec_builtin(PyObject *self, PyObject *module)
{
    return executed(&deferred_points[EXEC_BUILTIN], self, module);
}

/* ---- modules in Python ---- */

static struct {
    const char *module, *attribute;  /* there before the module's last class is made */
    bool done;
} in_python[] = {{"os", "read", false}, {"threading", "Condition", false}};

enum { IN_PYTHON = sizeof in_python / sizeof *in_python };

static bool
has_attribute(const char *name, const char *attribute)
{
    PyObject *module = PyDict_GetItemString(PyImport_GetModuleDict(), name);
    PyObject *dict = module != NULL && PyModule_Check(module) ? PyModule_GetDict(module) : NULL;
    return dict != NULL && PyDict_GetItemString(dict, attribute) != NULL;
}

/* Returns -1 with an exception set. */
static int
look_for_classes(void)
{
    for (int i = 0; i < IN_PYTHON; i++) {
        if (in_python[i].done || !has_attribute(in_python[i].module, in_python[i].attribute))
            continue;
        in_python[i].done = true;
        if (points_install_module(in_python[i].module) < 0)
            return -1;
    }
    return 0;
}

static PyObject *
point_build_class(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &deferred_points[BUILD_CLASS];
    PyObject *result = point_original(point, self, args, count, names);
    if (result != NULL && point->on && look_for_classes() < 0)
        Py_CLEAR(result);
    return result;
}
