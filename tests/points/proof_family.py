"""One kind of waiting that `proof_child` proves, as a small class: what is waited on, who waits how, who wakes.

The modules of families import nothing but what the interpreter itself needs: the order of imports is part of the proof.
A family imports what it uses when it is made, and keeps references to functions and bound methods from that moment.
`wait` and `wake` use those alone.
"""


class Family:
    """Something to wait on. `wait` blocks until `wake` is called by somebody else, and may be repeated."""

    rounds = 60
    """How often it is used before Gossamer comes, so that call sites are specialised by then; each ends at once."""
    waits = True
    """Whether `wait` is sure to wait for `wake`; else it comes to its end by itself."""

    def hold(self) -> None:
        """What the one who will wake has to do before anybody waits."""

    def wait(self) -> object:
        """Wait. Raises AssertionError if what it was woken with is not what it must be."""
        raise NotImplementedError

    def wake(self) -> None:
        """End the wait."""

    def heat(self) -> None:
        """Use `wait` once, so that it does not have to wait."""
        self.wake()
        self.wait()
