"""
What a process counts and measures of itself, in the format of Prometheus.

Every label has few values, all of them written down in code or settings: routes, reasons, names of providers. Never an
address, an id, a tenant or anything that was sent to us, for whoever reads figures is not whoever may read those.
Source: LOG-01, ADM-09; docs/operations/metrics.md says what each is for, and the alerts that rest on them.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

REGISTRY: Final = CollectorRegistry(auto_describe=False)
"""Of this process alone: each worker has its own."""

ProcessCollector(registry=REGISTRY)

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)

REQUESTS: Final = Counter(
    "genkan_http_requests",
    "Requests answered, by route and status.",
    ("route", "status"),
    registry=REGISTRY,
)
REQUEST_SECONDS: Final = Histogram(
    "genkan_http_request_seconds",
    "From the head of a request until its answer was handed over.",
    ("route",),
    buckets=_QUICK,
    registry=REGISTRY,
)
STEPS: Final = Counter(
    "genkan_flow_steps",
    "Steps of sign-in, sign-up, reset and refresh: what was said, and what was answered.",
    ("event", "outcome"),
    registry=REGISTRY,
)
REFUSALS: Final = Counter(
    "genkan_refusals", "Refusals of the native endpoints, by reason.", ("reason",), registry=REGISTRY
)
TOKENS: Final = Counter(
    "genkan_tokens_issued", "Sets of tokens signed, by whom they are for.", ("audience",), registry=REGISTRY
)
ALARMS: Final = Counter(
    "genkan_alarms",
    "What an operator must see, by the action of its audit row.",
    ("action",),
    registry=REGISTRY,
)
MESSAGES: Final = Counter(
    "genkan_messages",
    "Tries to hand a message over, by the provider that answered last and what came of it.",
    ("channel", "provider", "outcome"),
    registry=REGISTRY,
)
HASHING_WAITING: Final = Gauge(
    "genkan_hashing_waiting",
    "Passwords that are being compared or hashed, or wait for it.",
    registry=REGISTRY,
)
HASHING_WAIT: Final = Histogram(
    "genkan_hashing_wait_seconds",
    "How long password work waited for a thread.",
    buckets=_QUICK,
    registry=REGISTRY,
)
BATCH_SIZE: Final = Histogram(
    "genkan_store_batch_size", "Pieces of work in one transaction.", buckets=_COUNTS, registry=REGISTRY
)
STORE_SECONDS: Final = Histogram(
    "genkan_store_seconds",
    "From handing work to the store until it was committed.",
    buckets=_QUICK,
    registry=REGISTRY,
)
STORE_FAILURES: Final = Counter(
    "genkan_store_failures", "Pieces of work that the database could not do.", registry=REGISTRY
)
AUDIT_BROKEN: Final = Counter(
    "genkan_audit_broken",
    "Times a row of the audit log was found not to be as it was written.",
    registry=REGISTRY,
)

# Asked of the databases when somebody looks. ------------------------------------------------------------------------

OUTBOX_WAITING: Final = Gauge(
    "genkan_outbox_messages", "Messages that wait to be sent, of all tenants.", registry=REGISTRY
)
OUTBOX_OVERDUE: Final = Gauge(
    "genkan_outbox_overdue_seconds",
    "How long the message has been due that has waited longest; 0 when none is due.",
    registry=REGISTRY,
)
AUDIT_ROWS: Final = Gauge(
    "genkan_audit_rows", "Rows ever written to the audit logs, of all tenants.", registry=REGISTRY
)
CLOCK_DRIFT: Final = Gauge(
    "genkan_clock_drift_seconds",
    "How far this machine's clock and a database's are apart, at most.",
    registry=REGISTRY,
)
KEY_AGE: Final = Gauge(
    "genkan_signing_key_age_seconds", "Age of the oldest key that signs.", registry=REGISTRY
)
UNAVAILABLE: Final = Gauge(
    "genkan_databases_unavailable",
    "Databases that did not answer when they were last asked.",
    registry=REGISTRY,
)


def exposition() -> bytes:
    """Everything, as Prometheus reads it."""
    return generate_latest(REGISTRY)
