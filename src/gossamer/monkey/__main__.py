"""`python -m gossamer.monkey`, and with the alias `python -m gevent.monkey`."""

from gossamer.monkey._main import main

main()
