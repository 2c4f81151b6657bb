"""Spans and metrics: what a run sends to OpenTelemetry, what is imported without it, and what is never sent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
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
from image_history.config import Account, Retry
from image_history.errors import ConnectorError
from image_history.model import RunReport
from image_history.simulator import Behaviour, FaultRule, generate
from tests.behaviour.commanding import Commanded, CommandWorld, commanded, commanding
from tests.behaviour.scripted import running

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["commanded", "commanding"]

pytestmark = pytest.mark.duckdb

ROOT = Path(__file__).parents[2]
# Every token of the simulator begins with this text.
TOKEN = "c2ltdWxhdGVkLXRrbg"
EAST, WEST = "us-east-1", "eu-west-1"
# One throttled request and one failed one, which are repeated, and then an image that may not be listed.
FAULTS = (
    FaultRule(kind="throttling", operation="ListImageVersions", nth=1),
    FaultRule(kind="internal_failure", operation="ListImageVersions", nth=2),
    FaultRule(kind="access_denied", operation="ListImageVersions", nth=3),
)


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

    def points(self) -> Iterator[tuple[str, Any]]:
        """Each measured point, with the name of its metric."""
        found = self.reader.get_metrics_data()
        assert found is not None
        for resource in found.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        yield metric.name.removeprefix("image_history."), point

    def sums(self) -> dict[tuple[str, frozenset[tuple[str, object]]], float]:
        """Every counter's value."""
        return {
            (name, frozenset((point.attributes or {}).items())): point.value
            for name, point in self.points()
            if hasattr(point, "value")
        }

    def seconds(self) -> dict[str, float]:
        """The sum of every histogram."""
        return {name: point.sum for name, point in self.points() if hasattr(point, "sum")}


def attributes(span: ReadableSpan) -> dict[str, object]:
    """A span's attributes without our prefix."""
    return {name.removeprefix("image_history."): value for name, value in (span.attributes or {}).items()}


def figures_of(report: RunReport) -> dict[tuple[str, frozenset[tuple[str, object]]], float]:
    """Every counter's value as the report has it, zeros included."""
    figures: dict[tuple[str, frozenset[tuple[str, object]]], float] = {
        ("runs", frozenset({("outcome", report.outcome.value)})): 1
    }
    for each in report.scopes:
        scope = {"account_id": each.scope.account_id, "region": each.scope.region}.items()
        for operation, count in each.calls.by_operation.items():
            figures["calls", frozenset({*scope, ("operation", operation)})] = count
        for change, count in each.rows.by_change().items():
            figures["rows", frozenset({*scope, ("change", change)})] = count
        figures["retries", frozenset(scope)] = each.calls.retries
        figures["throttles", frozenset(scope)] = each.calls.throttles
        figures["failures", frozenset(scope)] = len(each.failures)
    return figures


def test_run_is_a_tree_of_spans(commanded: Commanded) -> None:
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


@pytest.mark.parametrize("faults", [(), FAULTS], ids=["quiet", "troubled"])
def test_counters_have_the_figures_of_the_report(
    commanding: CommandWorld, faults: Sequence[FaultRule]
) -> None:
    """Each counter has the report's figure for each scope and no other value; two histograms have its seconds."""
    site = commanding(generate(31, regions=(EAST, WEST), images=2, versions_per_image=3)).site
    site.config = msgspec.structs.replace(
        site.config,
        accounts=(Account(regions=(EAST, WEST)),),
        retry=Retry(attempts=3, max_wait=timedelta(milliseconds=1)),
    )
    image = next(row.image_name for row in site.world.truth() if row.region == EAST)
    site.simulator.faults = [msgspec.structs.replace(rule, region=EAST, image=image) for rule in faults]
    heard = Heard()
    with telemetry.sending_to(heard.providers):
        report = site.sync()
    # The simulator has counted the same requests.
    for operation, count in report.calls.by_operation.items():
        assert site.calls(operation) == count
    troubles = {
        each.scope.region: (each.calls.retries, each.calls.throttles, len(each.failures))
        for each in report.scopes
    }
    assert troubles == {EAST: (2, 1, 1) if faults else (0, 0, 0), WEST: (0, 0, 0)}
    assert heard.sums() == figures_of(report)
    assert heard.seconds() == {"duration": report.duration_seconds, "lock": report.lock_seconds}


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
