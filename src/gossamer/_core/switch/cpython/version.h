/* Which CPython this is compiled for: its headers, and the differences that more than one of the other headers asks for.

   `Py_BUILD_CORE` is defined here, after Python.h, for the internal headers. */
#ifndef GOSSAMER_CPYTHON_VERSION_H
#define GOSSAMER_CPYTHON_VERSION_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX < 0x030b0000 || PY_VERSION_HEX >= 0x03100000
#  error "Gossamer knows the interpreter's inner layout for CPython 3.11 to 3.15 only"
#endif

#define Py_BUILD_CORE 1
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#if PY_VERSION_HEX >= 0x030e0000
#  include "internal/pycore_interpframe_structs.h"
#  include "internal/pycore_tstate.h"
#  include "internal/pycore_pythonrun.h"
#else
#  include "internal/pycore_frame.h"
#  if PY_VERSION_HEX >= 0x030d0000
#    ifdef Py_GIL_DISABLED
#      include "internal/pycore_critical_section.h"
#      include "internal/pycore_gc.h"  /* what 3.13's pycore_tstate.h uses and does not include */
#    endif
#    include "internal/pycore_tstate.h"
#  endif
#endif
#pragma GCC diagnostic pop

#include <stdbool.h>
#include <stdint.h>

#define HAS_CFRAME (PY_VERSION_HEX < 0x030d0000)
#define HAS_ENTRY_FRAMES_ON_STACK (PY_VERSION_HEX >= 0x030c0000)
/* Each thread state has a frame below all others. */
#define HAS_BASE_FRAME (PY_VERSION_HEX >= 0x030f0000)
/* 3.11 remembers what a method call found only for objects without room for a __dict__, or with one. */
#define METHOD_CACHE_WANTS_DICT (PY_VERSION_HEX < 0x030c0000)
/* What says whether a lock's acquire() blocks is an int up to 3.11, then anything: its truth counts. */
#define BLOCKING_IS_AN_INT (PY_VERSION_HEX < 0x030c0000)
/* A lock's __exit__() takes any arguments up to 3.14, then exactly three, and its __enter__() none. */
#define EXIT_TAKES_THREE (PY_VERSION_HEX >= 0x030f0000)
/* threading joins threads by _thread._ThreadHandle; up to 3.12 by a lock, their sentinel. */
#define HAS_THREAD_HANDLES (PY_VERSION_HEX >= 0x030d0000)
/* The attribute of a threading.Thread that is its handle. */
#define THREAD_HANDLE_NAME (PY_VERSION_HEX < 0x030e0000 ? "_handle" : "_os_thread_handle")
/* A thread state's locals go by its number up to 3.12. */
#define LOCALS_GO_BY_NUMBER (PY_VERSION_HEX < 0x030d0000)
/* Connections of sqlite3 have the attribute autocommit. */
#define HAS_AUTOCOMMIT (PY_VERSION_HEX >= 0x030c0000)
/* poll() refuses more milliseconds than an int has, up to 3.14. */
#define POLL_WAITS_LONG (PY_VERSION_HEX >= 0x030f0000)
#define HAS_STACK_LIMITS (PY_VERSION_HEX >= 0x030e0000)
/* Frames of free-threaded builds hold references that are not counted, which the collector finds by walking the frames
   of threads: it would miss those of parked greenlets. */
#define FREE_THREADING_DEFERS_COUNTS (PY_VERSION_HEX >= 0x030e0000)
/* From 3.15 on times may be whatever has __float__, such as a Decimal. */
#define TIMES_TAKE_ANY_FLOAT (PY_VERSION_HEX >= 0x030f0000)

typedef struct _PyInterpreterFrame InterpreterFrame;

#endif
