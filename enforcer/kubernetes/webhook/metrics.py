"""The webhook's metrics. Label values are closed sets: no namespace, name or annotation creates a series."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import prometheus_client as prometheus
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from enforcer.kubernetes.webhook.admission import OUTCOMES
from enforcer.kubernetes.webhook.serving.refusals import REASONS

_DURATIONS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
EVENTS: Final = ("recorded", "failed", "dropped")
ROUNDS: Final = ("ok", "failed")
LISTENERS: Final = ("reviews", "admin")


class Metrics:
    """The metrics and their exposition; `ready` is whether the webhook has a certificate and reviews pods."""

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry()
        for collector in (prometheus.PROCESS_COLLECTOR, prometheus.PLATFORM_COLLECTOR, prometheus.GC_COLLECTOR):
            self._registry.register(collector)
        self._admissions = self._counter("admissions", "Pods that were reviewed.", "result", "reason")
        for outcome, reasons in OUTCOMES.items():
            for reason in reasons:
                self._admissions.labels(outcome, reason)
        self._duration = Histogram(
            "enforcer_injector_admission_duration_seconds",
            "Time from a review to its response.",
            buckets=_DURATIONS,
            registry=self._registry,
        )
        self._events = self._counter("events", "Events on the owners of pods.", "result")
        self._refusals = self._counter(
            "refusals", "Requests and connections that were refused before a review.", "listener", "reason"
        )
        for listener in LISTENERS:
            for reason in REASONS.values():
                self._refusals.labels(listener, reason)
        self._rounds = self._counter(
            "trust_rounds", "Checks of the certificates and of the authorities that API servers trust.", "result"
        )
        for counter, results in ((self._events, EVENTS), (self._rounds, ROUNDS)):
            for result in results:
                counter.labels(result)
        self._ends = self._gauge(
            "certificate_not_after_timestamp_seconds", "When a certificate expires.", "certificate"
        )
        self._ready = self._gauge("ready", "1 if the webhook reviews pods.")
        build = Gauge("enforcer_build_info", "The running version.", ("version",), registry=self._registry)
        build.labels(version).set(1)
        self.ready = False

    def admitted(self, result: str, reason: str, seconds: float) -> None:
        """Count a review and its duration."""
        self._admissions.labels(result, reason).inc()
        self._duration.observe(seconds)

    def event(self, result: str) -> None:
        """Count an Event with one of the results in EVENTS."""
        self._events.labels(result).inc()

    def refused(self, listener: str, reason: str) -> None:
        """Count a refusal of one of LISTENERS, with one of the reasons in REASONS."""
        self._refusals.labels(listener, reason).inc()

    def trusted(self, ends: Mapping[str, datetime] | None) -> None:
        """Count a check of the certificates, and set when they expire; None if the check failed."""
        self._rounds.labels("failed" if ends is None else "ok").inc()
        for name, expiry in (ends or {}).items():
            self._ends.labels(name).set(expiry.timestamp())

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        self._ready.set(self.ready)
        return prometheus.generate_latest(self._registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"enforcer_injector_{name}", documentation, labels, registry=self._registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(f"enforcer_injector_{name}", documentation, labels, registry=self._registry)
