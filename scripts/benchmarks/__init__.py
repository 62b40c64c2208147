"""Benchmarks: what is measured, against whom, and how; scripts/bench runs them."""
