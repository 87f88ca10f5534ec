"""What tests have to know of free-threaded builds of CPython, where the core has the GIL turned on."""

import sysconfig

IS_FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
# A filter for PYTHONWARNINGS: what the interpreter says of that is no part of what a program prints.
THE_GIL_IS_TURNED_ON = "ignore:The global interpreter lock:RuntimeWarning"
