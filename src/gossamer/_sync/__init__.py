"""Floor 2: everything that waits, in terms of park, unpark and wait queues.

Private. Its names are handed on by modules with the names that users know: `gossamer.event`, `gossamer.queue`, ...
"""
