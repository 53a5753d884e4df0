"""What Prometheus reads of a server."""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "lbwdet_requests",
            "Images asked about, by the status of the answer.",
            ["status"],
            registry=self._registry,
        )
        self.seconds = self._seconds("request", "From a request's headers to its boxes.")
        self.decoding = self._seconds("decode", "From a request's body to pixels.")
        self.engine = self._seconds("engine", "From pixels to boxes.")
        self.detections = Counter("lbwdet_detections", "Boxes given.", registry=self._registry)
        self.places_taken = self._gauge("places_taken", "Requests that are in the house.")
        self.places = self._gauge("places", "Of them there may be so many.")
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)

    def _seconds(self, name: str, what: str) -> Histogram:
        name = f"lbwdet_{name}_seconds"
        return Histogram(name, what, registry=self._registry, buckets=_SECONDS)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"lbwdet_{name}", what, registry=self._registry)
