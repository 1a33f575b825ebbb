"""Measurements: `python -m bench` compares the chat with the naive program and writes docs/benchmarks.md."""
