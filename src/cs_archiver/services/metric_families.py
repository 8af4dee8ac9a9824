"""Every metric by its name and meaning, as monitors read them; what is counted begins at zero with the service."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

import cs_archiver
from cs_archiver.domain.retry import Operation
from cs_archiver.domain.states import ACTIVE, WAITING, JobStatus

_PREFIX: Final = "csarchiver"
_HOUR: Final = 3600
_STAGE_SECONDS: Final = (1, 10, 60, 300, 900, _HOUR, 4 * _HOUR, 12 * _HOUR, 24 * _HOUR, 72 * _HOUR)
_LAG_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


class Families:
    """One registry of its own, with a zero for every label that can occur."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        version = self._gauge("build_info", "The version that runs; always 1.", "version")
        version.labels(cs_archiver.__version__).set(1)
        self._of_jobs()
        self._of_work()
        self._of_service()

    def _of_jobs(self) -> None:
        self.jobs = self._gauge("jobs", "Jobs in the list, by state.", "state")
        self.held = self._gauge("jobs_held", "Active jobs that go on only once a person has mended something.")
        self.oldest = self._gauge(
            "queue_oldest_age_seconds", "How long the first in line of a worker has been waiting; 0: nobody.", "worker"
        )
        self.last_success = self._gauge(
            "last_success_timestamp_seconds", "When a source was last deleted after its archive was proven; 0: never."
        )
        self.finished = self._counter("jobs_finished", "Jobs that ended, by result.", "result")
        self.stages = Histogram(
            "stage_duration_seconds",
            "How long jobs were in a state they left, waiting included, however they left it.",
            ["stage"],
            namespace=_PREFIX,
            buckets=_STAGE_SECONDS,
            registry=self.registry,
        )
        self.retries = self._counter("retries", "Attempts that failed and are repeated by themselves.", "operation")
        for status in JobStatus:
            (self.stages if status in ACTIVE else self.finished).labels(status)
        for operation in Operation:
            self.retries.labels(operation)
        for worker in WAITING:
            self.oldest.labels(worker)

    def _of_work(self) -> None:
        self.copied = self._counter("copied_bytes", "Bytes of the folders that were copied from the NAS.")
        self.archived = self._counter("archived_bytes", "Bytes of the archives that were packed and verified.")
        self.uploaded = self._counter("uploaded_bytes", "Bytes of the archives that Globus took to the destination.")
        self.freed = self._counter("freed_bytes", "Bytes deleted at the NAS after their archives were proven.")
        self.space_free = self._gauge("storage_free_bytes", "Space under the storage folder that can be written.")
        self.space_total = self._gauge("storage_size_bytes", "Size of the file system of the storage folder.")
        self.globus = self._counter(
            "globus_requests", "Questions to Globus by result: ok, or the name of the problem.", "result"
        )
        self.globus.labels("ok")
        self.faults = self._counter("globus_faults", "Faults that Globus told of in the tasks that were followed.")

    def _of_service(self) -> None:
        self.clients = self._gauge("websocket_clients", "Clients that hear the live updates.")
        self.refused = self._counter(
            "login_failures", "Sign-ins that were refused, as in the audit trail: a wait that is ignored counts once."
        )
        self.database_size = self._gauge("database_size_bytes", "Size of the database with its write-ahead log.")
        self.last_backup = self._gauge(
            "last_backup_timestamp_seconds", "When the newest nightly backup of the database was made; 0: none there."
        )
        self.lag = Histogram(
            "event_loop_lag_seconds",
            "How late the event loop came to what was due, looked at once a second.",
            namespace=_PREFIX,
            buckets=_LAG_SECONDS,
            registry=self.registry,
        )

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace=_PREFIX, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        since = " Since the start of the service."
        return Counter(name, text + since, labels, namespace=_PREFIX, registry=self.registry)
