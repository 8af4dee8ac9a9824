"""The benchmarks, in the order of docs/benchmarks.md. Each is one module, or one package, with its BENCHMARK."""

from tests.bench import copies, many, pages, queue, reads, start
from tests.bench.discovery import benchmark as discovery
from tests.bench.frame.benchmark import Benchmark
from tests.bench.load import benchmark as load
from tests.bench.pipeline import benchmark as pipeline

BENCHMARKS: tuple[Benchmark, ...] = (
    pipeline.BENCHMARK,
    copies.BENCHMARK,
    reads.BENCHMARK,
    many.BENCHMARK,
    discovery.BENCHMARK,
    queue.BENCHMARK,
    start.BENCHMARK,
    load.BENCHMARK,
    pages.BENCHMARK,
)
