"""Checks any server that claims to speak docs/protocol.md: `python -m tests.conformance ws://host/ws`.

`plain.txt` and `resuming.txt` are the cases, and the protocol by example. They need Python and `websockets` alone.
"""
