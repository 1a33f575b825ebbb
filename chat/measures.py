"""What is measured here, through OpenTelemetry's API: without an SDK, none of it does anything.

docs/deploy.md says what to watch. No measure has an id or a text in it, and no attribute has more
than a few values.
"""

from opentelemetry.metrics import get_meter

meter = get_meter("pocket-chat")

# Seconds, from a local disk to a log that is as good as gone.
APPEND_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
CALLS_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200)

replies = meter.create_counter(
    "chat.replies",
    unit="{reply}",
    description="Replies that this process wrote, by status, and by error.type if they failed.",
)
active_replies = meter.create_up_down_counter(
    "chat.active_replies",
    unit="{reply}",
    description="Replies that this process is writing.",
)
open_sockets = meter.create_up_down_counter(
    "chat.open_sockets",
    unit="{socket}",
    description="WebSockets that are open in this process.",
)
append_seconds = meter.create_histogram(
    "chat.log.append.duration",
    unit="s",
    description="From handing an event to the log until it is stored, waiting included.",
    explicit_bucket_boundaries_advisory=APPEND_BUCKETS,
)
batch_calls = meter.create_histogram(
    "chat.log.batch.calls",
    unit="{call}",
    description="Calls of the log that were executed together, appends or reads.",
    explicit_bucket_boundaries_advisory=CALLS_BUCKETS,
)
log_failures = meter.create_counter(
    "chat.log.failures",
    unit="{call}",
    description="Calls of the log that failed, by error.type. All but a client's own are retried.",
)
away_seconds = meter.create_counter(
    "chat.log.away",
    unit="s",
    description="How long the log could not be reached.",
)
