"""METRICS=1: OpenTelemetry's SDK, which makes the measures count, and the page for Prometheus.

The SDK is imported only here and only then: it takes time, and is not among the core dependencies.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.metrics import set_meter_provider
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from utils.settings import BadSetting

NEEDED = "METRICS=1 needs packages that are missing: pip install -r requirements-metrics.txt"

# OpenTelemetry's own settings: with one of them, the figures are also pushed to a collector.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")

# For the last push. A collector that is away must not hold up a restart.
FLUSH_MS = 2000


@contextmanager
def open_metrics() -> Iterator[Route]:
    """Let all measures of this process count. Yields the route for Prometheus: `/metrics`.

    Raises BadSetting if the packages are missing.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
    except ImportError:
        raise BadSetting(NEEDED) from None

    registry = CollectorRegistry()
    # Memory, CPU and descriptors of this process.
    ProcessCollector(registry=registry)
    readers: list[MetricReader] = [PrometheusMetricReader(scope_info_enabled=False, registry=registry)]
    if any(os.environ.get(name) for name in ENDPOINTS):
        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES count more than our name.
    resource = Resource.create({"service.name": "pocket-chat"})
    resource = resource.merge(OTELResourceDetector().detect())
    provider = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
    set_meter_provider(provider)

    # Not in a thread: the reader cannot serve two at a time.
    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    try:
        yield Route("/metrics", metrics)
    finally:
        # Not at the exit of Python: uvicorn ends the process by a signal.
        provider.shutdown(FLUSH_MS)
