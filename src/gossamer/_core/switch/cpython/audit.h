/* The interpreter's audit hooks. */
#ifndef GOSSAMER_CPYTHON_AUDIT_H
#define GOSSAMER_CPYTHON_AUDIT_H

#include "version.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#undef _PyGC_FINALIZED               /* a macro of the public headers, a function of the internal ones */
#include "internal/pycore_interp.h"
#pragma GCC diagnostic pop

/* time.sleep() raises an audit event. */
#define SLEEP_IS_AUDITED (PY_VERSION_HEX >= 0x030d0000)

/* The list of those added by sys.addaudithook(): borrowed; NULL before the first one. */
static inline PyObject *
audit_hooks(void)
{
    return PyThreadState_Get()->interp->audit_hooks;
}

#endif
