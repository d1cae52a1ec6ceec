"""What this process does, in figures for Prometheus: without text, without ids, and for next to no CPU."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

# Buckets in seconds: for the start of an answer, and for a commit.
ANSWERS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
COMMITS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

# Not the package's own registry, to which any library may add.
_registry = CollectorRegistry()

ProcessCollector(registry=_registry)
running = Gauge("parley_replies_running", "Replies that this process is writing.", registry=_registry)
queued = Gauge("parley_replies_queued", "Replies that are queued in this process.", registry=_registry)
readers = Gauge("parley_readers", "Open event streams.", registry=_registry)
first_piece = Histogram(
    "parley_first_piece_seconds",
    "From the question to its first delta in the log.",
    buckets=ANSWERS,
    registry=_registry,
)
stored = Counter("parley_events_stored", "Deltas and ends of replies that were stored.", registry=_registry)
commit = Histogram(
    "parley_commit_seconds",
    "One commit, which stores what all replies have gathered.",
    buckets=COMMITS,
    registry=_registry,
)
ended = Counter("parley_replies_ended", "Replies that this process has ended.", ["status"], registry=_registry)
taken_over = Counter(
    "parley_replies_taken_over",
    "Replies that this process has taken over.",
    registry=_registry,
)


def exposition() -> bytes:
    """All figures in the text format of Prometheus."""
    return generate_latest(_registry)
