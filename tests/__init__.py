"""Tests. Real servers and sockets where the promise is about them, plain calls where it is not."""

import sys

# Not for `python -m tests.conformance`, which does without pytest.
if sys.modules.get("pytest"):
    import pytest

    # So that a failed assertion in the shared vocabulary, too, shows what it saw.
    pytest.register_assert_rewrite("tests.support", "tests.faults.upstream_cases")
