/* The extension module gossamer._core: floor 1, one module so that its parts call each other directly.

   Its state belongs to the main interpreter. A sub-interpreter that imports it gets an ImportError:
   greenlets keep thread states of one interpreter apart, not those of several. */
#include "switch/fiber.h"
#include "switch/datastack.h"
#include "../_points/points.h"

struct core core;

static PyObject *
core_getcurrent(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct thread *thread = thread_get();
    if (thread == NULL)
        return NULL;
    if (thread->doomed != NULL)
        thread_end_doomed(thread);
    return Py_NewRef((PyObject *)thread->current->object);
}

/* The capsule is no ordinary attribute, so that it is known when an extension asks for it. */
static PyObject *
core_getattr(PyObject *Py_UNUSED(module), PyObject *name)
{
    if (PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "_C_API") == 0)
        return c_api_capsule();
    return PyErr_Format(PyExc_AttributeError, "module 'gossamer._core' has no attribute %R", name);
}

static PyMethodDef functions[] = {
    {"__getattr__", core_getattr, METH_O, "The attribute _C_API: the capsule of the C interface. Raises AttributeError for others."},
    {"getcurrent", core_getcurrent, METH_NOARGS,
     "getcurrent()\n--\n\nThe greenlet that is running: the caller's."},
    {"settrace", core_settrace, METH_O,
     "settrace(callback, /)\n--\n\n"
     "Have callback(event, (origin, target)) called after each switch of this thread; None ends that.\n\n"
     "`event` is 'switch' or 'throw'. Returns the callback before, or None. What the callback raises is\n"
     "raised in the target, and takes the callback off."},
    {"gettrace", core_gettrace, METH_NOARGS, "gettrace()\n--\n\nThis thread's trace callback, or None."},
    {"frames", core_frames, METH_NOARGS,
     "frames()\n--\n\n"
     "A list of pairs (greenlet, innermost frame or None): every started, unfinished greenlet of every thread."},
    {"pin", core_pin, METH_NOARGS,
     "pin()\n--\n\n"
     "Keep the running greenlet's stack where it is, also while it is parked, until unpin() is called as often.\n\n"
     "Returns False, and does nothing, when it shares its stack with other greenlets."},
    {"unpin", core_unpin, METH_NOARGS,
     "unpin()\n--\n\nUndo one pin() of the running greenlet. Raises RuntimeError when it is not pinned."},
    {"counts", core_counts, METH_NOARGS,
     "counts()\n--\n\n"
     "How many greenlets are alive, parked, leaked; how many stacks are mapped and slices copied out."},
    {NULL, NULL, 0, NULL},
};

static int
strings_make(void)
{
    core.empty_tuple = PyTuple_New(0);
    core.str_run = PyUnicode_InternFromString("run");
    core.str_run_method = PyUnicode_InternFromString("_run");
    return core.empty_tuple == NULL || core.str_run == NULL || core.str_run_method == NULL ? -1 : 0;
}

static int
exceptions_make(PyObject *module)
{
    core.greenlet_exit = PyErr_NewExceptionWithDoc(
        "gossamer.switching.GreenletExit",
        "Ends a greenlet quietly: when it reaches the end of one, it is the result there, not an error.",
        PyExc_BaseException, NULL);
    core.error = PyErr_NewExceptionWithDoc(
        "gossamer.switching.error", "A switch that is not possible: to another thread, or one that has exited.", NULL, NULL);
    if (core.greenlet_exit == NULL || core.error == NULL)
        return -1;
    if (PyModule_AddObjectRef(module, "GreenletExit", core.greenlet_exit) < 0)
        return -1;
    return PyModule_AddObjectRef(module, "error", core.error);
}

/* On a free-threaded 3.13 the interpreter turns the GIL on for a module that does not say that it can do without (and
   says so in a RuntimeWarning), unless it was told never to. */
static int
refuse_free_threading(void)
{
#ifdef Py_GIL_DISABLED
    if (FREE_THREADING_DEFERS_COUNTS) {
        PyErr_SetString(PyExc_ImportError,
                        "gossamer does not work on free-threaded builds of CPython 3.14 and later yet; "
                        "use an ordinary build, or a free-threaded 3.13");
        return -1;
    }
    PyObject *ask = PySys_GetObject("_is_gil_enabled");
    PyObject *answer = ask != NULL ? PyObject_CallNoArgs(ask) : Py_NewRef(Py_False);
    Py_XDECREF(answer);
    if (answer == Py_False)
        PyErr_SetString(PyExc_ImportError,
                        "gossamer needs the global interpreter lock, and this process was told to stay without: "
                        "start it without -X gil=0 and PYTHON_GIL=0");
    return answer == Py_True ? 0 : -1;
#else
    return 0;
#endif
}

static int
refuse_elsewhere(void)
{
    if (refuse_free_threading() < 0)
        return -1;
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError,
                        "gossamer works in the main interpreter only, not in sub-interpreters; "
                        "import it there, or use processes instead");
        return -1;
    }
    if (!thread_state_layout_is_as_compiled(PyThreadState_Get())) {
        PyErr_Format(PyExc_ImportError,
                     "gossamer was compiled for another release than this CPython %s; "
                     "reinstall it with this interpreter (pip install --force-reinstall gossamer)",
                     Py_GetVersion());
        return -1;
    }
    return 0;
}

static int
core_exec(PyObject *module)
{
    if (refuse_elsewhere() < 0 || slot_pool_configure() < 0 || threads_ready() < 0)
        return -1;
    if (strings_make() < 0 || exceptions_make(module) < 0 || greenlet_type_ready(module) < 0
        || runtime_ready(module) < 0 || points_ready(module) < 0)
        return -1;
    core.scratch = scratch_map();
    if (core.scratch == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    chunk_cache_install();
    return thread_get() != NULL ? 0 : -1;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, core_exec},
    MAIN_INTERPRETER_ONLY_SLOT
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gossamer._core",
    .m_doc = "Gossamer's native core: switching between stacks. Public names are in gossamer.switching.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
