"""Metrics for Prometheus: how many, how long, how many at once. No label comes from a caller or names a person."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """`kind` is query, mutation, subscription or none (no operation was found in the request)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "onestop_requests", "GraphQL requests answered.", ("kind", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "onestop_request_seconds",
            "From the first byte to the last.",
            ("kind",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge("onestop_requests_in_flight", "Operations being answered now.", registry=self.registry)
        self.streams = Gauge("onestop_streams", "Subscriptions open now.", registry=self.registry)
        self.incidents = Counter("onestop_incidents", "Bugs met while answering.", registry=self.registry)

    def answered(self, kind: str, status: int, seconds: float) -> None:
        self._requests.labels(kind, str(status)).inc()
        self._seconds.labels(kind).observe(seconds)


def admin(metrics: Metrics) -> Starlette:
    """The application of the admin listener (ONESTOP_ADMIN_LISTEN), which stays on the loopback."""

    async def exposition(_request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return Starlette(routes=[Route("/metrics", exposition)])
