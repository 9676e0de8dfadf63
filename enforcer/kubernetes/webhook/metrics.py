"""What the webhook counts. Labels are closed sets: no namespace, name or annotation makes a series."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from enforcer.kubernetes.webhook.admission import OUTCOMES

_DURATIONS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
EVENTS: Final = ("recorded", "failed", "dropped")
ROUNDS: Final = ("ok", "failed")


class Metrics:
    """All that is counted, and its exposition; `ready` is whether there is a certificate to show."""

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry()
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            self._registry.register(collector)
        self._admissions = self._counter("admissions", "Pods that were reviewed.", "result", "reason")
        for outcome, reasons in OUTCOMES.items():
            for reason in reasons:
                self._admissions.labels(outcome, reason)
        self._duration = Histogram(
            "enforcer_injector_admission_duration_seconds",
            "From a review to its answer.",
            buckets=_DURATIONS,
            registry=self._registry,
        )
        self._events = self._counter("events", "Events on the owners of pods.", "result")
        self._rounds = self._counter("trust_rounds", "Looks at certificates and whom API servers trust.", "result")
        for counter, results in ((self._events, EVENTS), (self._rounds, ROUNDS)):
            for result in results:
                counter.labels(result)
        self._ends = self._gauge("certificate_not_after_timestamp_seconds", "When a certificate ends.", "certificate")
        self._ready = self._gauge("ready", "Whether pods are reviewed.")
        build = Gauge("enforcer_build_info", "The program that runs.", ("version",), registry=self._registry)
        build.labels(version).set(1)
        self.ready = False

    def admitted(self, result: str, reason: str, seconds: float) -> None:
        """Count a review, and how long it took."""
        self._admissions.labels(result, reason).inc()
        self._duration.observe(seconds)

    def event(self, result: str) -> None:
        """Count an Event, by one of EVENTS."""
        self._events.labels(result).inc()

    def trusted(self, ends: Mapping[str, datetime] | None) -> None:
        """Count a round of the certificates, and when they end; None where it failed."""
        self._rounds.labels("failed" if ends is None else "ok").inc()
        for name, moment in (ends or {}).items():
            self._ends.labels(name).set(moment.timestamp())

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        self._ready.set(self.ready)
        return generate_latest(self._registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"enforcer_injector_{name}", documentation, labels, registry=self._registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(f"enforcer_injector_{name}", documentation, labels, registry=self._registry)
