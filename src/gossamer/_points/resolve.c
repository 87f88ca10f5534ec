/* Names of hosts: the C library asks files and servers for them, and knows no way of not waiting.

   - A lookup is made by a native thread of a pool, ten at a time. What is no name needs none: numeric addresses, no
     host at all, AI_NUMERICHOST, NI_NUMERICHOST. Names of services are in a local file.
   - connect(), connect_ex(), bind(), sendto() and sendmsg() of Internet sockets look names up, too, deep inside. Here
     the name is looked up first, as they would, and they get its first address. So does the audit event of theirs.
   - They take a name as the module has it: ASCII as it is, anything else through IDNA, whereas getaddrinfo() sends all
     text through IDNA. What cannot be a name is left to them: theirs are the errors.
   - Someone who does not wait any longer abandons the lookup; its thread goes on for as long as it takes. */
#include "pooled.h"
#include "socket.h"

#include <netdb.h>
#include <string.h>

static PyObject *point_getaddrinfo(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_gethostbyname(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_gethostbyname_ex(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_gethostbyaddr(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_getnameinfo(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);

#define LOOKUP_POINT(function_name, ours, convention) \
    .module = "_socket", .name = function_name, .function = (PyCFunction)(void (*)(void))ours, .flags = convention, \
    .kind = WAITER, .group = "dns"

enum { GETADDRINFO, GETHOSTBYNAME, GETHOSTBYNAME_EX, GETHOSTBYADDR, GETNAMEINFO };

struct point resolve_points[] = {
    [GETADDRINFO] = {LOOKUP_POINT("getaddrinfo", point_getaddrinfo, METH_FASTCALL | METH_KEYWORDS)},
    [GETHOSTBYNAME] = {LOOKUP_POINT("gethostbyname", point_gethostbyname, METH_FASTCALL | METH_KEYWORDS)},
    [GETHOSTBYNAME_EX] = {LOOKUP_POINT("gethostbyname_ex", point_gethostbyname_ex, METH_FASTCALL | METH_KEYWORDS)},
    [GETHOSTBYADDR] = {LOOKUP_POINT("gethostbyaddr", point_gethostbyaddr, METH_FASTCALL | METH_KEYWORDS)},
    [GETNAMEINFO] = {LOOKUP_POINT("getnameinfo", point_getnameinfo, METH_FASTCALL | METH_KEYWORDS)},
    {.module = NULL},
};

/* ---- names ---- */

static bool
is_numeric(const char *name)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *found;
    if (getaddrinfo(name, NULL, &hints, &found) != 0)
        return false;
    freeaddrinfo(found);
    return true;
}

/* The text of a host as C has it, as far as it can be had without converting; else NULL, without an exception. */
static const char *
plain_text(PyObject *host, Py_ssize_t *size)
{
    if (PyBytes_Check(host)) {
        *size = PyBytes_GET_SIZE(host);
        return PyBytes_AS_STRING(host);
    }
    return PyUnicode_Check(host) && PyUnicode_IS_ASCII(host) ? PyUnicode_AsUTF8AndSize(host, size) : NULL;
}

/* Whether somebody has to be asked for the host's address. "" and "<broadcast>" are known to the module itself. */
static bool
is_to_be_looked_up(PyObject *host, bool has_special_names)
{
    Py_ssize_t size;
    if (PyUnicode_Check(host) && !PyUnicode_IS_ASCII(host))
        return true;
    const char *name = plain_text(host, &size);
    if (name == NULL || strlen(name) != (size_t)size)
        return false;
    if (has_special_names && (size == 0 || strcmp(name, "<broadcast>") == 0))
        return false;
    return !is_numeric(name);
}

static bool
has_flag(PyObject *flags, long flag)
{
    int overflow;
    return flags != NULL && PyLong_Check(flags) && (PyLong_AsLongAndOverflow(flags, &overflow) & flag) != 0;
}

/* ---- the points ---- */

static PyObject *
look_up(const struct point *point, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return call_helper("gossamer._sync.native_call", "call_in_pool", point, args, count, names);
}

static PyObject *
point_getaddrinfo(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &resolve_points[GETADDRINFO];
    struct hub *hub = point_hub(point);
    PyObject *host = hub != NULL ? argument_from(args, count, names, 0, "host") : NULL;
    PyObject *flags = host != NULL ? argument_from(args, count, names, 5, "flags") : NULL;
    if (host == NULL || !is_to_be_looked_up(host, false) || has_flag(flags, AI_NUMERICHOST))
        return point_original(point, module, args, count, names);
    return look_up(point, args, count, names);
}

static PyObject *
name_to_address(const struct point *point, PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (point_hub(point) == NULL || count != 1 || names != NULL || !is_to_be_looked_up(args[0], true))
        return point_original(point, module, args, count, names);
    return look_up(point, args, count, NULL);
}

static PyObject *
point_gethostbyname(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return name_to_address(&resolve_points[GETHOSTBYNAME], module, args, count, names);
}

static PyObject *
point_gethostbyname_ex(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return name_to_address(&resolve_points[GETHOSTBYNAME_EX], module, args, count, names);
}

static PyObject *
point_gethostbyaddr(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &resolve_points[GETHOSTBYADDR];
    bool has_host = count == 1 && names == NULL && (PyUnicode_Check(args[0]) || PyBytes_Check(args[0]));
    if (point_hub(point) == NULL || !has_host)
        return point_original(point, module, args, count, names);
    return look_up(point, args, count, NULL);
}

static PyObject *
point_getnameinfo(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &resolve_points[GETNAMEINFO];
    if (point_hub(point) == NULL || count != 2 || names != NULL || has_flag(args[1], NI_NUMERICHOST))
        return point_original(point, module, args, count, names);
    return look_up(point, args, count, NULL);
}

/* ---- addresses of sockets ---- */

/* What a socket's method would look up: bytes, or None when it looks nothing up, or is to refuse it itself. New
   reference, or NULL with an exception set. */
static PyObject *
name_in_address(const SocketObject *socket, PyObject *address)
{
    Py_ssize_t most = socket->family == AF_INET ? 2 : socket->family == AF_INET6 ? 4 : 0;
    if (most == 0 || !PyTuple_Check(address) || PyTuple_GET_SIZE(address) < 2 || PyTuple_GET_SIZE(address) > most)
        Py_RETURN_NONE;
    for (Py_ssize_t i = 1; i < PyTuple_GET_SIZE(address); i++)
        if (!PyIndex_Check(PyTuple_GET_ITEM(address, i)))
            Py_RETURN_NONE;
    PyObject *host = PyTuple_GET_ITEM(address, 0);
    PyObject *name = PyByteArray_Check(host) ? PyBytes_FromObject(host) : Py_NewRef(host);
    if (name == NULL)
        return NULL;
    if (!is_to_be_looked_up(name, true))
        Py_SETREF(name, Py_NewRef(Py_None));
    else if (PyUnicode_Check(name))
        Py_SETREF(name, PyUnicode_AsEncodedString(name, PyUnicode_IS_ASCII(name) ? "ascii" : "idna", NULL));
    if (name == NULL && PyErr_ExceptionMatches(PyExc_UnicodeError)) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    return name;
}

/* The address with `host`, the first of those found, in place of its name. */
static PyObject *
address_with(PyObject *address, PyObject *found)
{
    PyObject *first = PySequence_GetItem(found, 0);
    PyObject *numeric = first != NULL ? PySequence_GetItem(first, 4) : NULL;
    PyObject *host = numeric != NULL ? PySequence_GetSlice(numeric, 0, 1) : NULL;
    PyObject *rest = host != NULL ? PyTuple_GetSlice(address, 1, PyTuple_GET_SIZE(address)) : NULL;
    PyObject *result = rest != NULL ? PySequence_Concat(host, rest) : NULL;
    Py_XDECREF(rest);
    Py_XDECREF(host);
    Py_XDECREF(numeric);
    Py_XDECREF(first);
    return result;
}

PyObject *
address_resolved(struct hub *hub, const SocketObject *socket, PyObject *address)
{
    const struct point *point = &resolve_points[GETADDRINFO];
    if (hub == NULL || !point->on)
        return Py_NewRef(address);
    PyObject *name = name_in_address(socket, address);
    if (name == NULL)
        return NULL;
    PyObject *result = NULL;
    if (name == Py_None) {
        result = Py_NewRef(address);
    }
    else {
        PyObject *family = PyLong_FromLong(socket->family), *args[] = {name, Py_None, family};
        PyObject *found = family != NULL ? look_up(point, args, 3, NULL) : NULL;
        result = found != NULL ? address_with(address, found) : NULL;
        Py_XDECREF(found);
        Py_XDECREF(family);
    }
    Py_DECREF(name);
    return result;
}
