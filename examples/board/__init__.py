"""A message board: the example that `make serve` shows.

An ordinary Flask application, written for no particular server. What it does is what makes plain servers slow: several
writers wait for one SQLite file, and a page waits for another HTTP service. See `app.py`.
"""
