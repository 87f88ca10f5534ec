"""Paired benchmarks of Gossamer beside its peers: `python -m bench`, or `make bench`.

A *row* (`model.Row`) compares two *sides*, each a workload function of a topic module (`bench.switching`, ...).
Each side runs in a process of its own (`worker`); `pairs` lets the two take turns and keeps each pair of samples
together; `report` makes the table, `document` the page `docs/performance.md`.
"""
