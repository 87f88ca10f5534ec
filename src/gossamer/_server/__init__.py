"""Floor 4: servers with gevent's interface.

`base.py` is the life of a server, `stream.py` and `datagram.py` say what is accepted, `address.py` reads addresses.
"""
