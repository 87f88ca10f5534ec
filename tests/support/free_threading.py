"""What tests have to know of free-threaded builds of CPython, where the core has the GIL turned on."""

import sysconfig

IS_FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
