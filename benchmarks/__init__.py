"""Benchmarks: how fast diffkit is, beside what and at what cost. Run as ``python -m benchmarks`` from a checkout."""
