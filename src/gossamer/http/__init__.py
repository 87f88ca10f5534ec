"""Floor 4: the WSGI server.

`server.py` accepts connections and knows what they are doing; `connection.py` is the life of one of them; `request.py`
parses what comes in, `response.py` writes what goes out, `limits.py` says how much of each is tolerated.
"""
