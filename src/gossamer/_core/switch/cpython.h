/* Everything that differs between CPython versions, and nothing else: the one header that the others include.

   What a greenlet takes along when it is switched is a handful of fields of the interpreter's thread
   state. Which ones, and where they live, changes with each CPython release; the rest of the core
   only calls the functions of this header. Facts they rest on:

   - 3.11, 3.12: the current frame hangs off a `_PyCFrame` that lives on the C stack of the evaluation
     loop, so the pointer moves and the struct stays where it is. A new greenlet starts from a
     `_PyCFrame` of its own, kept in its PythonState. 3.11 keeps "is tracing on" in that struct: the
     flag is copied when another one becomes current.
   - 3.12 and later: the frame that enters the evaluation loop from C lives on the C stack. While a
     stack slice is copied out, such frames must be cut out of the `previous` chain (`frame_links`).
   - 3.12, 3.13: C recursion is counted, per greenlet. 3.14 and later: it is measured against the
     limits of the C stack, which follow the stack that is running.
   - 3.14 and later: frames hold tagged references; one whose tag says "not counted" must not be shown
     to the garbage collector.
   - 3.15: a stack starts at the thread's `base_frame`, so that profilers see that it is complete.
   - Of a suspended frame, the locals are owned references on every version. How far its evaluation
     stack reaches is written down from 3.14 on; before, only while it calls a Python function, or when
     the C function it called tells where its arguments end. What is not known is left out: a reference
     the collector is not shown keeps its object alive, never the reverse.

   - Free-threaded 3.13, with the GIL turned on: locks of single objects that C code on a stack holds hang off the
     thread state. They are let go before that stack is left, or the next greenlet would wait for this one for ever.

   To add a version: compare `Include/cpython/pystate.h` and `internal/pycore_interpframe_structs.h`
   (or `pycore_frame.h`) with the previous release's, then walk through the headers below in their order. */
#ifndef GOSSAMER_CPYTHON_H
#define GOSSAMER_CPYTHON_H

#include "cpython/version.h"
#include "cpython/state.h"
#include "cpython/own_state.h"
#include "cpython/frames.h"
#include "cpython/objects.h"
#include "cpython/locks.h"
#include "cpython/api.h"

#endif
