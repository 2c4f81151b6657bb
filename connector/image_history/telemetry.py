"""Telemetry of a run: spans, the fields of its log lines, and metrics from its report.

The only module that uses OpenTelemetry. It is imported only if the caller has set it up, or if the OTEL_* variables
ask for it. Must not know what happens inside a span.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from image_history.errors import ConnectorError
from image_history.hiding import without_secrets
from image_history.model import RunReport, ScopeReport
from image_history.version import __version__

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import Span, Tracer, TracerProvider

logger = logging.getLogger(__name__)

_NAME = "image-history"
_PREFIX = "image_history."
# The attributes that log lines carry; all others are only in the span.
_LOGGED = frozenset({"run_id", "scope", "stream"})

Attribute = str | int | float


@dataclass(slots=True)
class _Frame:
    """The attributes of a span. Threads started inside the span share this object, so they see later additions."""

    known: Mapping[str, Attribute]
    above: _Frame | None

    def fields(self) -> Mapping[str, Attribute]:
        return self.known if self.above is None else {**self.above.fields(), **self.known}


_frame: ContextVar[_Frame | None] = ContextVar("frame", default=None)


@dataclass(frozen=True, slots=True)
class Providers:
    """Where spans and metrics are sent; None: they are not sent."""

    traces: TracerProvider | None = None
    metrics: MeterProvider | None = None


_providers: ContextVar[Providers | None] = ContextVar("providers", default=None)


def fields() -> Mapping[str, Attribute]:
    """The attributes of the current work for its log lines: `run_id`, `scope`, `stream`."""
    frame = _frame.get()
    return {} if frame is None else frame.fields()


@contextmanager
def sending_to(providers: Providers) -> Iterator[None]:
    """Send spans and metrics of the block to these providers, not to those that the process has set up."""
    token = _providers.set(providers)
    try:
        yield
    finally:
        _providers.reset(token)


@contextmanager
def span(name: str, **known: Attribute) -> Iterator[None]:
    """Trace a block; run_id, scope and stream are also added to its log lines and to the context of its errors."""
    token = _frame.set(_Frame(_logged(known), _frame.get()))
    try:
        with _traced(name, known):
            yield
    except ConnectorError as error:
        error.context = {**fields(), **error.context}
        raise
    finally:
        _frame.reset(token)


def note(**known: Attribute) -> None:
    """Add attributes to the current span, and to the log lines until it ends."""
    frame = _frame.get()
    if frame is not None:
        frame.known = {**frame.known, **_logged(known)}
    if _tracer() is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes(_prefixed(known))


def observed(work: Callable[[], RunReport]) -> RunReport:
    """Do a whole run inside a span, and count its outcome."""
    became = "unexpected"
    with span("sync"):
        try:
            report = work()
            became = report.outcome.value
            note(outcome=became)
        except ConnectorError as error:
            became = type(error).__name__
            raise
        finally:
            _counted(lambda meter: _count_run(meter, became))
    _counted(lambda meter: _measure(meter, report))
    return report


def _logged(known: Mapping[str, Attribute]) -> Mapping[str, Attribute]:
    return {name: value for name, value in known.items() if name in _LOGGED}


def _prefixed(known: Mapping[str, Attribute]) -> Mapping[str, Attribute]:
    return {f"{_PREFIX}{name}": value for name, value in known.items()}


def _tracer() -> Tracer | None:
    """The tracer of the block, else that of the process if it has imported OpenTelemetry."""
    chosen = _providers.get()
    if chosen is not None:
        return None if chosen.traces is None else chosen.traces.get_tracer(_NAME, __version__)
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry.trace import get_tracer

    return get_tracer(_NAME, __version__)


def _meter() -> Meter | None:
    chosen = _providers.get()
    if chosen is not None:
        return None if chosen.metrics is None else chosen.metrics.get_meter(_NAME, __version__)
    if "opentelemetry.metrics" not in sys.modules:
        return None
    from opentelemetry.metrics import get_meter

    return get_meter(_NAME, __version__)


def _traced(name: str, known: Mapping[str, Attribute]) -> AbstractContextManager[object]:
    tracer = _tracer()
    return nullcontext() if tracer is None else _open_span(tracer, name, known)


@contextmanager
def _open_span(tracer: Tracer, name: str, known: Mapping[str, Attribute]) -> Iterator[None]:
    """A span that records the type of an error and the message of a ConnectorError; a traceback may quote secrets."""
    with tracer.start_as_current_span(
        name, attributes=_prefixed(known), record_exception=False, set_status_on_exception=False
    ) as opened:
        try:
            yield
        except BaseException as error:
            _fail(opened, error)
            raise


def _fail(opened: Span, error: BaseException) -> None:
    from opentelemetry.trace import StatusCode

    kind = type(error).__name__
    opened.set_attribute("error.type", kind)
    opened.set_status(StatusCode.ERROR, error.message if isinstance(error, ConnectorError) else kind)


def _counted(count: Callable[[Meter], None]) -> None:
    meter = _meter()
    if meter is not None:
        count(meter)


def _count_run(meter: Meter, outcome: str) -> None:
    runs = meter.create_counter(f"{_PREFIX}runs", description="Syncs that ended, by outcome.")
    runs.add(1, {"outcome": outcome})


def _measure(meter: Meter, report: RunReport) -> None:
    meter.create_histogram(f"{_PREFIX}duration", unit="s", description="How long a sync took.").record(
        report.duration_seconds
    )
    meter.create_histogram(
        f"{_PREFIX}lock", unit="s", description="How long a sync had the warehouse open for writing."
    ).record(report.lock_seconds)
    for scope in report.scopes:
        _measure_scope(meter, scope)


def _measure_scope(meter: Meter, report: ScopeReport) -> None:
    where = {"account_id": report.scope.account_id, "region": report.scope.region}
    calls = meter.create_counter(f"{_PREFIX}calls", description="Requests to AWS, repeated ones included.")
    for operation, count in report.calls.by_operation.items():
        calls.add(count, {**where, "operation": operation})
    rows = meter.create_counter(f"{_PREFIX}rows", description="Rows of image_versions, by change.")
    for change, count in report.rows.by_change().items():
        rows.add(count, {**where, "change": change})
    for name, count, meaning in (
        ("retries", report.calls.retries, "Requests that failed and may be retried."),
        ("throttles", report.calls.throttles, "Requests that AWS throttled."),
        ("failures", len(report.failures), "Images that could not be read whole."),
    ):
        meter.create_counter(f"{_PREFIX}{name}", description=meaning).add(count, where)


@contextmanager
def exporting(environment: Mapping[str, str]) -> Iterator[None]:
    """Send the block's spans and metrics as the OTEL_* variables say; without such variables nothing is imported.

    The rest is sent when the block ends, for at most 3 seconds a signal, or for as long as
    OTEL_EXPORTER_OTLP_TIMEOUT allows. A receiver that fails causes one warning and never ends the run.
    """
    wanted, reasons = _requested(environment)
    for reason in reasons:
        logger.warning("telemetry_off", extra={"reason": reason})
    if set(wanted.values()) == {"none"}:
        yield
        return
    try:
        providers = _made(wanted, _timeout_seconds(environment))
    except ImportError:
        logger.warning("telemetry_off", extra={"reason": _NO_EXTRA})
        yield
        return
    with _silenced(), sending_to(providers):
        try:
            yield
        finally:
            _shut_down(providers)


def unsent(environment: Mapping[str, str]) -> Sequence[str]:
    """The reasons why signals that the OTEL_* variables ask for are not sent; empty if all of them are sent."""
    wanted, reasons = _requested(environment)
    missing = set(wanted.values()) != {"none"} and not _has_extra()
    return [*reasons, _NO_EXTRA] if missing else reasons


def _has_extra() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ImportError:
        return False


_NO_EXTRA = "the extra is missing: pip install 'sagemaker-image-history[otel]'"
_OTLP = "OTEL_EXPORTER_OTLP"
_PATIENCE = 3.0
_EXPORTERS = frozenset({"otlp", "console", "none"})
_PROTOCOLS = frozenset({"", "http/protobuf"})


def _requested(environment: Mapping[str, str]) -> tuple[Mapping[str, str], Sequence[str]]:
    """The exporter of each signal, and the reasons why signals that are asked for are not sent."""
    found = {signal: _exporter(signal, environment) for signal in ("traces", "metrics")}
    wanted = {signal: chosen for signal, (chosen, _) in found.items()}
    return wanted, [reason for _, reason in found.values() if reason is not None]


def _exporter(signal: str, environment: Mapping[str, str]) -> tuple[str, str | None]:
    """The exporter of a signal (otlp, console or none), and the reason if it is none although one was asked for."""
    name = f"OTEL_{signal.upper()}_EXPORTER"
    specific = f"{_OTLP}_{signal.upper()}"
    default = "otlp" if _first(environment, f"{specific}_ENDPOINT", f"{_OTLP}_ENDPOINT") else "none"
    chosen = environment.get(name, "").strip().lower() or default
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return "none", None
    protocol = _first(environment, f"{specific}_PROTOCOL", f"{_OTLP}_PROTOCOL")
    if chosen not in _EXPORTERS:
        return "none", f"{name} may be otlp, console or none, and is {chosen}"
    if chosen == "otlp" and protocol not in _PROTOCOLS:
        return "none", f"OTLP is sent over http/protobuf only, not over {protocol}"
    return chosen, None


def _first(environment: Mapping[str, str], *names: str) -> str:
    return next((value for name in names if (value := environment.get(name, "").strip())), "")


def _timeout_seconds(environment: Mapping[str, str]) -> float | None:
    """Our timeout; None if a variable sets one. The exporters' default of ten seconds would delay each run's end."""
    return (
        None
        if any(name.endswith("_TIMEOUT") for name in environment if name.startswith(_OTLP))
        else _PATIENCE
    )


def _made(wanted: Mapping[str, str], timeout_seconds: float | None) -> Providers:
    """The providers of the wanted signals; their exporters and limits read the OTEL_* variables themselves."""
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource

    ours = Resource({SERVICE_NAME: _NAME, SERVICE_VERSION: __version__})
    configured = Resource.create()
    named = not str(configured.attributes.get(SERVICE_NAME, "")).startswith("unknown_service")
    resource = ours.merge(configured) if named else configured.merge(ours)
    return Providers(
        _traces(wanted["traces"], resource, timeout_seconds),
        _metrics(wanted["metrics"], resource, timeout_seconds),
    )


def _traces(exporter: str, resource: Resource, timeout_seconds: float | None) -> TracerProvider | None:
    if exporter == "none":
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    otlp = exporter == "otlp"
    chosen = OTLPSpanExporter(timeout=timeout_seconds) if otlp else ConsoleSpanExporter(out=sys.stderr)
    provider.add_span_processor(BatchSpanProcessor(chosen))
    return provider


def _metrics(exporter: str, resource: Resource, timeout_seconds: float | None) -> MeterProvider | None:
    if exporter == "none":
        return None
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader

    otlp = exporter == "otlp"
    chosen = OTLPMetricExporter(timeout=timeout_seconds) if otlp else ConsoleMetricExporter(out=sys.stderr)
    reader = PeriodicExportingMetricReader(chosen)
    return MeterProvider([reader], resource=resource, shutdown_on_exit=False)


def _shut_down(providers: Providers) -> None:
    for provider in (providers.traces, providers.metrics):
        if provider is not None:
            # Only providers of the SDK get here; those of the API have no such method.
            provider.shutdown()  # type: ignore[union-attr]


class _Once(logging.Handler):
    """Logs the first warning of another library as one of ours, and drops the rest."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logged = False

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record, unless another one was logged before."""
        if not self._logged:
            self._logged = True
            logger.warning("telemetry_not_sent", extra={"reason": without_secrets(record.getMessage())})


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep OpenTelemetry's own log lines, one for each failed attempt, from stderr."""
    theirs = logging.getLogger("opentelemetry")
    handler, propagated = _Once(), theirs.propagate
    theirs.addHandler(handler)
    theirs.propagate = False
    try:
        yield
    finally:
        theirs.removeHandler(handler)
        theirs.propagate = propagated
