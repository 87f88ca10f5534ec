/* Interrupts that must not strike in the middle of an import.

   importlib keeps a lock for each module that is imported (importlib._bootstrap._ModuleLock). Its release() first takes a
   lock of its own, `with self.lock`, which others hold for a moment: several hubs that import the same module wait for
   each other there, and so does a green thread whose hub gave way to another. An exception raised at that wait leaves
   the module's lock locked for ever, and with it everybody who imports the module later. CPython has the same with
   KeyboardInterrupt; here kill() and Timeout are common.

   So whatever strikes there is put off until the lock has been had and is released again, at the end of that `with`: by
   then nothing of the module is locked any more, and it is raised out of the import. Waits of acquire() are left as they
   are: who is interrupted there holds nothing.

   A list in the core tells what is put off. While there is anything, it counts as one that waits in the parking lot, so
   that releasing a lock has nothing more to look at than before. LoopExit, MemoryError and BlockingSwitchOutError are not
   put off: what they tell of would only come again. */
#include "import_lock.h"

#include <stdlib.h>

struct put_off {
    struct fiber *fiber;
    const PyObject *lock;
    PyObject *exceptions;
    struct put_off *next;
};

static PyObject *release_code;       /* of _ModuleLock.release; NULL: not found */

void
import_lock_look(void)
{
    PyObject *name = PyUnicode_FromString("_frozen_importlib");
    PyObject *module = name != NULL ? PyImport_GetModule(name) : NULL;
    PyObject *type = module != NULL ? PyObject_GetAttrString(module, "_ModuleLock") : NULL;
    PyObject *release = type != NULL ? PyObject_GetAttrString(type, "release") : NULL;
    if (release != NULL && PyFunction_Check(release))
        Py_XSETREF(release_code, Py_NewRef(PyFunction_GET_CODE(release)));
    Py_XDECREF(release);
    Py_XDECREF(type);
    Py_XDECREF(module);
    Py_XDECREF(name);
    PyErr_Clear();
}

/* Whether the Python code that called us is _ModuleLock.release. */
static bool
releases_a_module(void)
{
    PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get());
    if (frame == NULL) {
        PyErr_Clear();
        return false;
    }
    PyCodeObject *code = PyFrame_GetCode(frame);
    bool releases = (PyObject *)code == release_code;
    Py_DECREF(code);
    Py_DECREF(frame);
    return releases;
}

static struct put_off **
place_of(const PyObject *lock)
{
    struct put_off **place = &core.put_off;
    while (*place != NULL && ((*place)->fiber != current_thread->current || (*place)->lock != lock))
        place = &(*place)->next;
    return place;
}

/* NULL when there is no memory. */
static struct put_off *
put_off_for(const PyObject *lock)
{
    struct put_off *found = *place_of(lock);
    if (found != NULL)
        return found;
    PyObject *exceptions = PyList_New(0);
    found = exceptions != NULL ? malloc(sizeof *found) : NULL;
    if (found == NULL) {
        Py_XDECREF(exceptions);
        return NULL;
    }
    *found = (struct put_off){current_thread->current, lock, exceptions, core.put_off};
    core.put_off = found;
    core.lot.waiting++;
    return found;
}

bool
import_lock_puts_off(const PyObject *lock)
{
    if (release_code == NULL || PyErr_ExceptionMatches(core.loop_exit) || PyErr_ExceptionMatches(PyExc_MemoryError)
        || PyErr_ExceptionMatches(core.blocking_switch_out_error))
        return false;
    PyObject *exception = PyErr_GetRaisedException();
    struct put_off *put_off = releases_a_module() ? put_off_for(lock) : NULL;
    bool kept = put_off != NULL && PyList_Append(put_off->exceptions, exception) == 0;
    if (kept)
        Py_DECREF(exception);
    else
        PyErr_SetRaisedException(exception);
    return kept;
}

PyObject *
import_lock_released(const PyObject *lock)
{
    struct put_off **place = likely(core.put_off == NULL) || current_thread == NULL ? NULL : place_of(lock);
    if (place == NULL || *place == NULL)
        Py_RETURN_NONE;
    struct put_off *put_off = *place;
    PyObject *exceptions = put_off->exceptions;
    *place = put_off->next;
    free(put_off);
    core.lot.waiting--;
    for (Py_ssize_t i = 1; i < PyList_GET_SIZE(exceptions); i++)
        hub_put_off(current_thread->hub, PyList_GET_ITEM(exceptions, i));
    if (PyList_GET_SIZE(exceptions) > 0)
        PyErr_SetRaisedException(Py_NewRef(PyList_GET_ITEM(exceptions, 0)));
    Py_DECREF(exceptions);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}
