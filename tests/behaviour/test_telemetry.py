"""Spans and metrics: what a run sends to OpenTelemetry, what is imported without it, and what is never sent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from image_history import telemetry
from image_history.errors import ConnectorError
from image_history.model import RunReport
from image_history.simulator import Behaviour, FaultRule
from tests.behaviour.commanding import Commanded, commanded, commanding
from tests.behaviour.scripted import running

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["commanded", "commanding"]

pytestmark = pytest.mark.duckdb

ROOT = Path(__file__).parents[2]
# Every token of the simulator begins with this text.
TOKEN = "c2ltdWxhdGVkLXRrbg"


class Heard:
    """Providers of OpenTelemetry's own SDK that keep spans and metrics in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        traces = TracerProvider(shutdown_on_exit=False)
        traces.add_span_processor(SimpleSpanProcessor(self.exporter))
        metrics = MeterProvider([self.reader], shutdown_on_exit=False)
        self.providers = telemetry.Providers(traces, metrics)

    def spans(self, name: str | None = None) -> Sequence[ReadableSpan]:
        """The spans that have ended, of one name or of all."""
        return [span for span in self.exporter.get_finished_spans() if name in {None, span.name}]

    def parents(self) -> set[tuple[str, str]]:
        """Each pair of a span's name and its parent's name."""
        names = {span.context.span_id: span.name for span in self.spans() if span.context is not None}
        return {(span.name, names[span.parent.span_id]) for span in self.spans() if span.parent is not None}

    def sums(self) -> dict[tuple[str, frozenset[tuple[str, object]]], float]:
        """Every counter's value."""
        found = self.reader.get_metrics_data()
        assert found is not None
        return {
            (
                metric.name.removeprefix("image_history."),
                frozenset((point.attributes or {}).items()),
            ): point.value
            for resource in found.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
            if hasattr(point, "value")
        }


def attributes(span: ReadableSpan) -> dict[str, object]:
    """A span's attributes without our prefix."""
    return {name.removeprefix("image_history."): value for name, value in (span.attributes or {}).items()}


def assert_figures(heard: Heard, report: RunReport) -> None:
    """The counters have the figures of the report."""
    scope = {"account_id": "111122223333", "region": "us-east-1"}.items()
    sums = heard.sums()
    assert sums["runs", frozenset({("outcome", "complete")})] == 1
    for operation, count in report.calls.by_operation.items():
        assert sums["calls", frozenset({*scope, ("operation", operation)})] == count
    for change, count in report.rows.by_change().items():
        assert sums["rows", frozenset({*scope, ("change", change)})] == count
    assert [sums[name, frozenset(scope)] for name in ("retries", "throttles", "failures")] == [0, 0, 0]


def test_run_is_a_tree_of_spans_and_the_figures_of_its_report(commanded: Commanded) -> None:
    """A run is one trace with a span for each stage and image; spans have the run's id, outcome, pages and rows."""
    heard = Heard()
    with telemetry.sending_to(heard.providers):
        report = commanded.site.sync()
    assert heard.parents() == {(name, "sync") for name in ("discover", "list", "settle", "load", "publish")}
    assert len({span.context.trace_id for span in heard.spans() if span.context is not None}) == 1
    (run,) = heard.spans("sync")
    assert attributes(run)["outcome"] == "complete"
    assert attributes(run)["run_id"] == report.run_id
    images = {row.image_name for row in commanded.site.world.truth()}
    listed = [attributes(span) for span in heard.spans("list")]
    assert {str(each["stream"]).rpartition("/")[2] for each in listed} == images
    assert {(each["scope"], each["pages"], each["rows"]) for each in listed} == {
        ("111122223333/us-east-1", 1, 3)
    }


def test_span_of_a_failed_run_says_why_without_a_traceback(commanded: Commanded) -> None:
    """A failed run's span has the error's sentence as status and no traceback; the error has the run's id."""
    commanded.site.simulator.faults = (FaultRule(kind="unknown_credentials", operation="ListImageVersions"),)
    heard = Heard()
    with telemetry.sending_to(heard.providers), pytest.raises(ConnectorError) as caught:
        commanded.site.sync()
    (run,) = heard.spans("sync")
    assert run.status.status_code is StatusCode.ERROR
    assert run.status.description == caught.value.message
    assert run.events == ()
    assert caught.value.context["run_id"] == attributes(run)["run_id"]
    assert heard.sums()["runs", frozenset({("outcome", type(caught.value).__name__)})] == 1


def test_no_span_holds_a_token(commanded: Commanded) -> None:
    """Spans contain neither the pagination tokens that AWS refuses nor the secret key."""
    site = commanded.site
    site.simulator.behaviour = Behaviour(token_lifetime_seconds=0)
    heard = Heard()
    with telemetry.sending_to(heard.providers):
        site.sync(page_size=1)
    told = " ".join(span.to_json() for span in heard.spans())
    assert "failed" in told
    assert TOKEN not in told
    assert site.environment["AWS_SECRET_ACCESS_KEY"] not in told


def test_telemetry_that_is_off_imports_nothing_of_opentelemetry() -> None:
    """If no variable asks for telemetry, OpenTelemetry is not imported."""
    code = (
        "import sys; from image_history import telemetry\n"
        "with telemetry.exporting({}), telemetry.span('sync'): telemetry.note(run_id='1')\n"
        "print(*(name for name in sys.modules if name.startswith('opentelemetry')))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert outcome.stdout.strip() == ""


@dataclass(slots=True)
class Receiver:
    """A receiver of OTLP over HTTP on loopback."""

    url: str
    spans: list[str] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    metrics: list[str] = field(default_factory=list)

    def take(self, path: str, body: bytes) -> None:
        """Decode one export."""
        if path == "/v1/traces":
            for traced in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans += [span.name for scope in traced.scope_spans for span in scope.spans]
                told = {each.key: each.value.string_value for each in traced.resource.attributes}
                self.services.add(told["service.name"])
        else:
            for measured in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics += [metric.name for scope in measured.scope_metrics for metric in scope.metrics]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver for the length of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
        with running(server):
            yield receiver


def test_command_sends_to_the_endpoint_that_the_variables_name(
    commanded: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With OTEL_EXPORTER_OTLP_ENDPOINT alone, spans and metrics arrive over OTLP, under the service's name."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        assert commanded("sync").code == 0
    assert {"sync", "discover", "list", "settle", "load"} <= set(receiver.spans)
    assert receiver.services == {"image-history"}
    assert {"image_history.runs", "image_history.rows", "image_history.duration"} <= set(receiver.metrics)


def test_receiver_that_is_down_costs_one_warning(
    commanded: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the receiver is down, the run is complete all the same, and one warning says that nothing was sent."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.05")
    answered = commanded("sync")
    assert answered.code == 0
    assert [line.split()[2] for line in answered.err.splitlines()] == ["telemetry_not_sent"]


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        pytest.param(
            {"OTEL_TRACES_EXPORTER": "zipkin"}, "otlp, console or none, and is zipkin", id="exporter"
        ),
        pytest.param(
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "not over grpc",
            id="grpc",
        ),
    ],
)
def test_exporter_that_we_have_not_is_named(
    variables: dict[str, str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If an exporter or a protocol is not supported, telemetry is off, and one warning says why."""
    with telemetry.exporting(variables), telemetry.span("nothing"):
        pass
    (record,) = caplog.records
    assert record.message == "telemetry_off"
    assert reason in record.reason  # type: ignore[attr-defined]  # a field of ours


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"},
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
        },
    ],
    ids=["unset", "disabled", "none"],
)
def test_telemetry_is_off(variables: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """If telemetry is not configured, disabled or set to `none`, it is off without a warning."""
    with telemetry.exporting(variables), telemetry.span("nothing"):
        pass
    assert caplog.records == []


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """If telemetry is requested without the extra, it is off, and one warning says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with telemetry.exporting({"OTEL_TRACES_EXPORTER": "otlp"}):
        assert telemetry.fields() == {}
    (record,) = caplog.records
    assert "sagemaker-image-history[otel]" in record.reason  # type: ignore[attr-defined]  # a field of ours
