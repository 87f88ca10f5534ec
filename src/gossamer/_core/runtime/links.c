/* Links: what is called with a green thread once it has ended.

   Called on the hub greenlet in the order they were made, all in one turn; one that was taken back by one before it is
   not. One that is made by one of them is called in a turn of its own. */
#include "green_thread.h"

/* The next that has not been called; it leaves the list. New reference; NULL: there is none. */
static PyObject *
link_take(GreenThreadObject *object)
{
    if (object->links == NULL || object->links_called >= PyList_GET_SIZE(object->links))
        return NULL;
    PyObject *link = PyList_GET_ITEM(object->links, object->links_called);
    PyList_SET_ITEM(object->links, object->links_called++, Py_NewRef(Py_None));
    return link;
}

static void
link_failed(struct hub *hub, GreenThreadObject *object, PyObject *link)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *context = PyTuple_Pack(2, link, object);
    if (context == NULL)
        PyErr_Clear();
    PyErr_SetRaisedException(error);
    hub_report_error(hub, context != NULL ? context : (PyObject *)object);
    Py_XDECREF(context);
}

static PyObject *
links_call(PyObject *Py_UNUSED(module), PyObject *self)
{
    GreenThreadObject *object = (GreenThreadObject *)self;
    struct hub *hub = hub_get();
    if (hub == NULL)
        return NULL;
    Py_ssize_t left = object->links != NULL ? PyList_GET_SIZE(object->links) - object->links_called : 0;
    for (PyObject *link; left > 0 && (link = link_take(object)) != NULL; left--) {
        PyObject *result = PyObject_CallOneArg(link, self);
        if (result == NULL)
            link_failed(hub, object, link);
        Py_XDECREF(result);
        Py_DECREF(link);
    }
    if (object->links != NULL && object->links_called >= PyList_GET_SIZE(object->links)) {
        Py_CLEAR(object->links);
        object->links_called = 0;
    }
    Py_RETURN_NONE;
}

static PyMethodDef links_call_definition = {"links_call", links_call, METH_O, NULL};
static PyObject *links_call_function;

void
links_schedule(struct hub *hub, GreenThreadObject *object)
{
    int collector_was_on = PyGC_Disable();  /* no code may run: the hub may be another thread's, and end meanwhile */
    PyObject *args = PyTuple_Pack(1, object);
    CallbackObject *callback = args != NULL ? callback_new(links_call_function, args) : NULL;
    Py_XDECREF(args);
    if (collector_was_on)
        PyGC_Enable();
    if (callback == NULL || hub_call_soon(hub, callback) < 0)
        hub_report_error(hub, (PyObject *)object);
}

PyObject *
GreenThread_rawlink(PyObject *self, PyObject *callback)
{
    GreenThreadObject *object = (GreenThreadObject *)self;
    if (!PyCallable_Check(callback))
        return PyErr_Format(PyExc_TypeError, "a link must be callable, not %s", Py_TYPE(callback)->tp_name);
    if (object->links == NULL) {
        PyObject *links = PyList_New(0);  /* the collector may run meanwhile, and code that links */
        if (links == NULL)
            return NULL;
        if (object->links == NULL)
            object->links = Py_NewRef(links);
        Py_DECREF(links);
    }
    if (PyList_Append(object->links, callback) < 0)
        return NULL;
    if (object->finished) {
        struct hub *hub = hub_of_fiber(object->greenlet.fiber->parent->fiber);
        if (hub == NULL && (hub = hub_get()) == NULL)
            return NULL;
        links_schedule(hub, object);
    }
    Py_RETURN_NONE;
}

/* Where the very object `callback` is among those that have not been called; -1: nowhere. Most links are taken back in
   the order they were made, or the newest first: so it is looked for from both ends. */
static Py_ssize_t
link_place(const GreenThreadObject *object, const PyObject *callback)
{
    Py_ssize_t front = object->links_called, back = object->links != NULL ? PyList_GET_SIZE(object->links) - 1 : -1;
    for (; front <= back; front++, back--) {
        if (PyList_GET_ITEM(object->links, front) == callback)
            return front;
        if (PyList_GET_ITEM(object->links, back) == callback)
            return back;
    }
    return -1;
}

/* What is dropped may have the whole list dropped. */
static PyObject *
link_remove(GreenThreadObject *object, Py_ssize_t place)
{
    PyObject *links = Py_NewRef(object->links);
    int result = PySequence_DelItem(links, place);
    Py_DECREF(links);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

PyObject *
GreenThread_unlink(PyObject *self, PyObject *callback)
{
    GreenThreadObject *object = (GreenThreadObject *)self;
    Py_ssize_t place = link_place(object, callback);
    if (place >= 0)
        return link_remove(object, place);
    for (Py_ssize_t i = object->links_called; object->links != NULL && i < PyList_GET_SIZE(object->links); i++) {
        PyObject *link = Py_NewRef(PyList_GET_ITEM(object->links, i));
        int same = PyObject_RichCompareBool(link, callback, Py_EQ);
        /* which may have changed the list */
        bool there = object->links != NULL && i < PyList_GET_SIZE(object->links)
                     && PyList_GET_ITEM(object->links, i) == link;
        Py_DECREF(link);
        if (same < 0)
            return NULL;
        if (same && there)
            return link_remove(object, i);
    }
    Py_RETURN_NONE;
}

PyObject *
GreenThread_has_links(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    GreenThreadObject *object = (GreenThreadObject *)self;
    return PyBool_FromLong(object->links != NULL && PyList_GET_SIZE(object->links) > object->links_called);
}

PyObject *
GreenThread_unlink_all(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    GreenThreadObject *object = (GreenThreadObject *)self;
    object->links_called = 0;
    Py_CLEAR(object->links);
    Py_RETURN_NONE;
}

int
links_ready(void)
{
    return (links_call_function = PyCFunction_New(&links_call_definition, NULL)) != NULL ? 0 : -1;
}
