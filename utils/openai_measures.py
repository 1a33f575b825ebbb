"""How long a model takes, and how many tokens: OpenTelemetry's GenAI conventions.

https://github.com/open-telemetry/semantic-conventions-genai has the names, buckets and attributes.
Without an SDK, none of it does anything.
"""

import time
from types import TracebackType
from typing import Self

from opentelemetry.metrics import get_meter

from utils.pieces import ReplyCut

meter = get_meter("pocket-chat")

# Those of the conventions: powers of 2 from 10 ms, and powers of 4.
SECONDS_BUCKETS = tuple(0.01 * 2**n for n in range(14))
TOKENS_BUCKETS = tuple(4**n for n in range(14))

time_to_first_chunk = meter.create_histogram(
    "gen_ai.client.operation.time_to_first_chunk",
    unit="s",
    description="From the request to the first text of the reply, reasoning included.",
    explicit_bucket_boundaries_advisory=SECONDS_BUCKETS,
)
duration = meter.create_histogram(
    "gen_ai.client.operation.duration",
    unit="s",
    description="From the request to the end of the reply. A stop is no error.",
    explicit_bucket_boundaries_advisory=SECONDS_BUCKETS,
)
token_usage = meter.create_histogram(
    "gen_ai.client.token.usage",
    unit="{token}",
    description="Tokens of a request and its reply, if the server says.",
    explicit_bucket_boundaries_advisory=TOKENS_BUCKETS,
)


class ModelCall:
    """`with ModelCall(model) as call:` around a request and its reply."""

    def __init__(self, model: str) -> None:
        # What the server says about its usage: tokens by type, "input" and "output".
        self.tokens: dict[str, int] = {}
        self._has_text = False
        self._attributes = {
            "gen_ai.operation.name": "chat",
            # The kind of API. Who answers behind it is not known here.
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": model,
        }

    def note_text(self) -> None:
        """Text has come: the first time, measure how long it took."""
        if not self._has_text:
            self._has_text = True
            time_to_first_chunk.record(self._elapsed, self._attributes)

    def __enter__(self) -> Self:
        self._started_at = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for token_type, count in self.tokens.items():
            token_usage.record(count, {**self._attributes, "gen_ai.token.type": token_type})
        if isinstance(error, ReplyCut) and error.code:
            self._attributes["error.type"] = error.code
        elif isinstance(error, Exception) and not isinstance(error, ReplyCut):
            self._attributes["error.type"] = "_OTHER"
        duration.record(self._elapsed, self._attributes)

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started_at
