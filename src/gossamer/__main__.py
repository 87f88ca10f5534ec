"""`python -m gossamer`: the command line, where the `gossamer` command is not on the path."""

import sys

from gossamer.cli import main

sys.exit(main())
