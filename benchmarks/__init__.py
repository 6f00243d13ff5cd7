"""Side-by-side measurements: Momentum against the least server that could answer the same requests.

`make bench` runs everything and rewrites the tables of docs/performance.md; `python -m benchmarks --quick` takes a
minute and writes nothing.
"""
