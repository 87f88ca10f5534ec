"""Floor 3: the blocking points. Most of them are C, compiled into `gossamer._core`; here is what C brings nothing for.

Private: imported at the first call that needs it.
"""
