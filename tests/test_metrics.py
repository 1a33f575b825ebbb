"""What is measured, who may see it, and what is never in it."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.metrics import Instrument
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.parser import text_string_to_metric_families

from chat import log, measures
from chat.batch import Batch
from chat.conversation import Turn
from chat.ends import count_reply
from chat.log import Away, note_append, retry
from tests.support import KEY, Call, FakeOpenAI, Server, chunk, script
from tests.support.resuming import Tab
from utils import openai_measures
from utils.openai_measures import ModelCall
from utils.openai_stream import MOST_TOKENS, Completion
from utils.pieces import ReplyCut
from utils.settings import BadSetting, read_settings

ROOT = Path(__file__).parents[1]

Attributes = dict[str, Any]


class Measured:
    """All that was measured by now."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self._reader = reader

    def points(self, name: str) -> list[tuple[Attributes, Any]]:
        """The attributes and the value of each point: a number, or (count, sum) of a histogram."""
        data = self._reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        points: list[Any] = [
            point
            for scope in scopes
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]
        return [
            (dict(point.attributes), point.value if hasattr(point, "value") else (point.count, point.sum))
            for point in points
        ]  # fmt: skip

    def value(self, name: str) -> Any:
        """The one value, of a measure without attributes."""
        ((attributes, value),) = self.points(name)
        assert attributes == {}
        return value


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Measured]:
    """An SDK for the measures of one test: the global one could be set only once."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    for module in (measures, openai_measures):
        for name, proxy in list(vars(module).items()):
            if isinstance(proxy, Instrument):
                real = proxy._create_real_instrument(provider.get_meter("test"))  # type: ignore[attr-defined]
                monkeypatch.setattr(module, name, real)
    yield Measured(reader)
    provider.shutdown()


# The log


async def test_batches_are_measured_by_their_calls(measured: Measured) -> None:
    async def run(calls: list[Any]) -> list[Any]:
        return calls

    batch = Batch(run, rest_seconds=0)
    await asyncio.gather(*map(batch, range(5)))
    await batch(6)
    assert measured.value("chat.log.batch.calls") == (2, 6)


async def test_each_failure_of_the_log_is_counted_and_so_is_the_time(
    measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(log, "away", Away())
    failures = iter([OSError("a secret"), ConnectionError("a secret")])

    async def attempt() -> None:
        for error in failures:
            raise error
        note_append(0.0)

    await retry(attempt)
    assert measured.points("chat.log.failures") == [
        ({"error.type": "OSError"}, 1), ({"error.type": "ConnectionError"}, 1),
    ]  # fmt: skip
    assert 0.04 <= measured.value("chat.log.away") < 5
    assert measured.value("chat.log.append.duration")[0] == 1


def test_time_without_anything_to_append_is_no_outage(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "away", Away())
    times = iter([100.0, 103.0, 4000.0, 4002.0, 4003.0])
    monkeypatch.setattr("chat.log.time.monotonic", lambda: next(times))
    for _ in range(3):
        log.away.note_failure()
    log.away.note_append()
    log.away.note_append()
    assert measured.value("chat.log.away") == 3 + 2


# Replies


@pytest.mark.parametrize(
    ("status", "error", "counted"),
    [
        ("done", None, {"status": "done"}),
        ("error", {"code": "upstream_busy"}, {"status": "error", "error.type": "upstream_busy"}),
        ("error", {"code": "You asked: why?"}, {"status": "error", "error.type": "_OTHER"}),
        ("error", {"code": ["a list"]}, {"status": "error", "error.type": "_OTHER"}),
        ("of a newer version", None, {"status": "_OTHER"}),
    ],
)
def test_a_reply_is_counted_by_status_and_by_an_error_that_we_know(
    measured: Measured, status: str, error: Any, counted: Attributes
) -> None:
    count_reply(Turn("t", "w", "why?", status=status, error=error))
    assert measured.points("chat.replies") == [(counted, 1)]


def test_a_reply_that_was_edited_away_counts_as_stopped(measured: Measured) -> None:
    count_reply(None)
    assert measured.points("chat.replies") == [({"status": "stopped"}, 1)]


# The model


COMMON = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "a-model"}


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (None, {}),
        (ReplyCut("length"), {}),
        (GeneratorExit(), {}),
        (asyncio.CancelledError(), {}),
        (ReplyCut("error", "upstream_timeout"), {"error.type": "upstream_timeout"}),
        (RuntimeError("a secret"), {"error.type": "_OTHER"}),
    ],
    ids=repr,
)
def test_a_request_is_measured_however_it_ends(
    measured: Measured, error: BaseException | None, error_type: Attributes
) -> None:
    with contextlib.suppress(BaseException), ModelCall("a-model") as call:
        call.note_text()
        call.note_text()
        call.tokens = {"input": 7, "output": 3}
        if error:
            raise error
    ((attributes, (count, _)),) = measured.points("gen_ai.client.operation.time_to_first_chunk")
    assert (attributes, count) == (COMMON, 1)
    ((attributes, (count, _)),) = measured.points("gen_ai.client.operation.duration")
    assert (attributes, count) == ({**COMMON, **error_type}, 1)
    assert measured.points("gen_ai.client.token.usage") == [
        ({**COMMON, "gen_ai.token.type": "input"}, (1, 7)), ({**COMMON, "gen_ai.token.type": "output"}, (1, 3)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("events", "tokens"),
    [
        ('{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}', {"input": 7, "output": 3}),
        ('{"usage":{"prompt_tokens":7,"completion_tokens":1}}\n\ndata: {"usage":{"completion_tokens":2}}',
         {"input": 7, "output": 2}),
        ('{"usage":null}', {}),
        ('{"usage":[1]}', {}),
        ('{"usage":{"prompt_tokens":-1,"completion_tokens":true}}', {}),
        ('{"usage":{"prompt_tokens":"7","completion_tokens":1e999}}', {}),
        (f'{{"usage":{{"prompt_tokens":{MOST_TOKENS + 1},"completion_tokens":{"9" * 400}}}}}', {}),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_tokens_are_read_if_the_server_says_how_many(events: str, tokens: dict[str, int]) -> None:
    completion = Completion()
    assert completion.feed(f"data: {events}\n\n".encode()) == []
    assert (completion.tokens, completion.failure) == (tokens, None)


# The page for Prometheus


async def figures(server: Server) -> dict[str, float]:
    """Each sample by its name and the values of its labels, as in `name{value,value}`."""
    answer = await server.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert not [header for header in answer.headers if header.lower().startswith("access-control")]
    found = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            values = ",".join(value for value in sample.labels.values() if value)
            found[f"{sample.name}{{{values}}}"] = sample.value
    return found


async def test_a_scrape_shows_what_happened_and_nothing_of_what_was_said(openai: FakeOpenAI) -> None:
    async def tells_usage(call: Call) -> None:
        await call.text("Once")
        await call.delta({}, "stop")
        await call.event(chunk({}, choices=[], usage={"prompt_tokens": 7, "completion_tokens": 3}))
        await call.done()

    async with Server(openai.url, METRICS="1") as server, Tab(server) as tab:
        openai.answers(tells_usage)
        await tab.answered("Tell me a story.")
        openai.answers(lambda call: call.refuse(401))
        await tab.answered("Tell me a secret.")
        openai.answers(script("Once", Call.closed))
        turn = await tab.ask("Tell me a long story.")
        await tab.sees(turn, "Once")
        now = await figures(server)
        assert (now["chat_active_replies{}"], now["chat_open_sockets{}"]) == (1, 1)
        await tab.stop()
        await tab.ended(turn)
        async with asyncio.timeout(5):
            while (now := await figures(server))["chat_active_replies{}"]:
                await asyncio.sleep(0.01)
        page = (await server.get("/metrics")).body.decode()
        conversation = tab.conversation
    assert now["chat_replies_total{done}"] == 1
    assert now["chat_replies_total{stopped}"] == 1
    assert now["chat_replies_total{upstream_auth,error}"] == 1
    model = "chat,openai,gpt-5.4-mini"
    assert now[f"gen_ai_client_operation_time_to_first_chunk_seconds_count{{{model}}}"] == 2
    assert now[f"gen_ai_client_operation_duration_seconds_count{{{model}}}"] == 2
    assert now[f"gen_ai_client_operation_duration_seconds_count{{upstream_auth,{model}}}"] == 1
    assert now[f"gen_ai_client_token_usage_sum{{{model},input}}"] == 7
    assert now[f"gen_ai_client_token_usage_sum{{{model},output}}"] == 3
    assert now["chat_log_append_duration_seconds_count{}"] == 8, "3 questions, 2 chunks, 3 ends"
    assert now["chat_log_append_duration_seconds_bucket{5}"] == 8
    assert now["chat_log_batch_calls_count{}"] >= 8
    assert now["process_resident_memory_bytes{}"] > 10e6
    assert conversation
    for private in (conversation, turn, "story", "Once", KEY, "127.0.0.1"):
        assert private not in page


async def test_only_hosts_that_are_allowed_can_scrape(openai: FakeOpenAI, server: Server) -> None:
    async with Server(openai.url, METRICS="true", ALLOWED_HOSTS="chat.example") as measuring:
        assert (await measuring.get("/metrics", Host="chat.example")).status == 200
        assert (await measuring.get("/metrics", Host="evil.example")).status == 400
    assert (await server.get("/metrics")).status == 404, "METRICS is not set"


async def test_figures_are_pushed_once_where_opentelemetrys_settings_say(openai: FakeOpenAI) -> None:
    pushed: list[bytes] = []

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        pushed.append(await reader.readexactly(size))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(collect, "127.0.0.1", 0) as collector:
        url = f"http://127.0.0.1:{collector.sockets[0].getsockname()[1]}"
        openai.says("Once")
        push = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "FASTAPI_OTEL_AUTO_CONFIGURE": "true"}
        server = Server(openai.url, METRICS="1", **push)  # type: ignore[arg-type]
        async with server, server.client() as client:
            await client.reply("Tell me a story.")
    (figures,) = pushed
    (resource,) = ExportMetricsServiceRequest.FromString(figures).resource_metrics
    attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert attributes["service.name"] == "pocket-chat"
    assert attributes["service.instance.id"], "or the figures of two workers would replace each other"
    names = {metric.name for scope in resource.scope_metrics for metric in scope.metrics}
    assert names >= {"chat.replies", "gen_ai.client.operation.duration"}


# Starting


WITHOUT = "import runpy, sys; sys.modules['{package}'] = None; runpy.run_path('main.py', run_name='__main__')"


@pytest.mark.parametrize(
    "package", ["opentelemetry.sdk", "opentelemetry.exporter.prometheus", "opentelemetry.exporter.otlp.proto.http"]
)
def test_without_the_package_start_up_says_what_to_install(package: str, tmp_path: Path) -> None:
    done = run(WITHOUT.format(package=package), METRICS="1", PORT="0", STORE_URL=f"sqlite:///{tmp_path}/chat.db")
    assert done.returncode == 1
    assert "Cannot start: METRICS=1 needs" in done.stderr
    assert "pip install -r requirements-metrics.txt\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_metrics_no_sdk_is_imported() -> None:
    done = run("import main, sys; main.app; assert not [n for n in sys.modules if n.startswith('opentelemetry.sdk')]")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["1", "true", "True"])
def test_metrics_are_switched_on_with_1_or_true(text: str) -> None:
    assert read_settings({"METRICS": text}).metrics is True
    assert read_settings({"METRICS": {"1": "0"}.get(text, "false")}).metrics is False


@pytest.mark.parametrize("bad", ["yes", "2", "on", "-"])
def test_metrics_are_switched_on_by_nothing_else(bad: str) -> None:
    with pytest.raises(BadSetting, match=f"METRICS='{bad}': expected 1, 0, true or false"):
        read_settings({"METRICS": bad})


# FastAPI has a telemetry of its own, which an operator may have switched on.

EXPORTS = """
import asyncio, os
from fastapi import FastAPI
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import main
from utils.settings import Settings

logs, spans, reader = InMemoryLogRecordExporter(), InMemorySpanExporter(), InMemoryMetricReader()
_logs.set_logger_provider(LoggerProvider())
_logs.get_logger_provider().add_log_record_processor(SimpleLogRecordProcessor(logs))
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(spans))
metrics.set_meter_provider(MeterProvider([reader]))

app = {app}

@app.get("/boom/{{id}}")
async def boom(id: str) -> None:
    raise RuntimeError("sk-secret")

async def ask() -> None:
    scope = {{"type": "http", "asgi": {{"version": "3.0"}}, "http_version": "1.1", "method": "GET",
              "scheme": "http", "path": "/boom/conversation-id", "raw_path": b"/boom/conversation-id",
              "query_string": b"q=question", "root_path": "", "headers": [(b"host", b"localhost")],
              "client": ("192.0.2.7", 1), "server": ("localhost", 80)}}
    async def receive(): return {{"type": "http.request", "body": b"", "more_body": False}}
    async def send(message): pass
    try:
        await app(scope, receive, send)
    except RuntimeError:
        pass

asyncio.run(ask())
print([record.to_json() for record in logs.get_finished_logs()])
print([span.to_json() for span in spans.get_finished_spans()])
print(reader.get_metrics_data().to_json())
"""
PRIVATE = ("sk-secret", "conversation-id", "question", "192.0.2.7")


def test_fastapis_own_telemetry_exports_no_texts_and_no_ids() -> None:
    done = run(EXPORTS.format(app="main.create_app(Settings())"))
    assert done.returncode == 0, done.stderr
    assert "http.server.request.duration" in done.stdout
    assert [private for private in PRIVATE if private in done.stdout] == []
    usual = run(EXPORTS.format(app="FastAPI()"))
    assert "sk-secret" in usual.stdout, "or this test shows nothing"


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
