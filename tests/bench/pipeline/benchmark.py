"""One job through the product beside a shell script of the bare commands, for media, text, and a mix of both."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from tests.bench.frame.benchmark import Benchmark, Claim, Findings, Order
from tests.bench.frame.disk import FORGOTTEN
from tests.bench.frame.document import table
from tests.bench.frame.rounds import Ratio, ratio
from tests.bench.pipeline.runs import COMPARE, COPY, DELETE, SCRIPT, STEPS, UPLOAD, Run, measured
from tests.bench.planted import ONE_SMALL, Case, cases

MODES = {mode: {"COMPRESSION_MODE": mode} for mode in ("fast", "auto")}
# As folders above 1 GB and above 100 GB are copied by default.
COPIED_BY = {
    "rsync": {**MODES["fast"], "COPY_SMALL_BELOW_GB": "0"},
    "dd": {**MODES["fast"], "COPY_SMALL_BELOW_GB": "0", "COPY_MEDIUM_BELOW_GB": "0"},
}
_MOST_FAST, _MOST_AUTO, _MOST_SIZE = 1.10, 0.15, 1.01


@dataclass(frozen=True, slots=True)
class Line:
    """What the sides came to in one case; `of_a_job` are the medians for one small file."""

    case: Case
    runs: Mapping[str, list[Run]]
    of_a_job: Mapping[str, float]

    def seconds(self, side: str) -> float:
        return median(run.seconds for run in self.runs[side])

    def ratio(self, mode: str) -> Ratio:
        return ratio([run.seconds for run in self.runs[mode]], [run.seconds for run in self.runs[SCRIPT]])

    def busy(self, mode: str) -> Ratio:
        return ratio([run.processor for run in self.runs[mode]], [run.processor for run in self.runs[SCRIPT]])

    def beyond_a_job(self, mode: str) -> float:
        """The ratio of what comes on top of a job of one small file: towards which it goes as folders grow."""
        more, base = (self.seconds(side) - self.of_a_job[side] for side in (mode, SCRIPT))
        return more / base

    @property
    def size(self) -> float:
        """Of the archive in `auto`, as a share of that in `fast`."""
        return median(run.size for run in self.runs["auto"]) / median(run.size for run in self.runs["fast"])

    def steps(self, side: str) -> dict[str, float]:
        """Seconds, medians."""
        return {step: median(run.steps.get(step, 0.0) for run in self.runs[side]) for step in STEPS}

    def added(self, mode: str) -> dict[str, float]:
        """Seconds that each step takes beyond what the script takes for the same."""
        base = self.steps(SCRIPT)
        return {step: seconds - base[step] for step, seconds in self.steps(mode).items()}

    @property
    def sandbox(self) -> dict[str, float]:
        """Seconds that the sandbox's own work takes without the product, by step, medians."""
        return {step: median(run.sandbox[step] for run in self.runs[SCRIPT]) for step in (UPLOAD, COMPARE)}


def _largest(seconds: Mapping[str, float]) -> str:
    """The steps that take most, until two thirds of all are named."""
    over = {step: of_one for step, of_one in seconds.items() if of_one > 0}
    named: dict[str, float] = {}
    for step in sorted(over, key=lambda step: -over[step]):
        if sum(named.values()) < sum(over.values()) * 2 / 3:
            named[step] = over[step]
    return ", ".join(f"{step} {of_one:.2f} s" for step, of_one in named.items())


def _row(line: Line) -> list[str]:
    cells = [line.case.name, f"{line.case.megabytes:.3g} MB", f"{line.seconds(SCRIPT):.2f} s"]
    for mode in MODES:
        beyond = "" if line.case is ONE_SMALL else f"{line.beyond_a_job(mode):.2f}"
        cells += [f"{line.seconds(mode):.2f} s", str(line.ratio(mode)), beyond, f"{line.busy(mode).middle:.2f}"]
    return [*cells, f"{line.size:.3f}"]


_HEADS = (
    "Folder", "size", "script",
    *(head for mode in MODES for head in (f"`{mode}`", "/ script", "beyond one small file", "processor / script")),
    "archive, `auto` / `fast`",
)  # fmt: skip


def _claims(lines: list[Line]) -> list[Claim]:
    one, *others = lines
    claims = [
        _ratio_claim(line, "fast", _MOST_FAST, f"beyond the script's: {_largest(line.added('fast'))}")
        for line in others
    ] + [_ratio_claim(line, "auto", _MOST_AUTO, _bound_of_auto(line)) for line in others if line.case.kind == "media"]
    claims += [
        _ratio_claim(line, way, _MOST_FAST, f"beyond the script's: {_largest(line.added(way))}", copied=way)
        for line in others
        for way in COPIED_BY
        if way in line.runs
    ]
    largest = max(line.size for line in others)
    return [
        *claims,
        Claim(
            "archive size in `auto` / in `fast`, the largest of these folders, whose types are each of one kind",
            f"<= {_MOST_SIZE}",
            f"{largest:.3f}",
            f"{largest:.3f}",
            None if largest <= _MOST_SIZE else "what samples did not show",
        ),
        Claim(
            f"what a job costs by itself: {one.case.name}, `fast`",
            "",
            f"{one.seconds('fast') * 1000:.0f} ms against {one.seconds('script') * 1000:.0f} ms",
            str(one.ratio("fast")),
            None,
        ),
    ]


def _bound_of_auto(line: Line) -> str:
    script = line.steps(SCRIPT)
    return f"most of it: {_largest(line.steps('auto'))}; rsync and rm alone {script[COPY] + script[DELETE]:.2f} s"


def _ratio_claim(line: Line, side: str, most: float, bound: str, copied: str = "") -> Claim:
    found = line.ratio(side)
    taken = f"{line.seconds(side):.2f} s against {line.seconds(SCRIPT):.2f} s"
    how = f"`fast`, copied by {copied}" if copied else f"`{side}`"
    what = f"one job in {how} / the script: {line.case.name}"
    return Claim(what, f"<= {most:.2f}", taken, str(found), None if found.middle <= most else bound)


def _rows_of_ways(lines: list[Line]) -> list[list[str]]:
    return [
        [line.case.name, way, f"{line.seconds(SCRIPT):.2f} s", f"{line.seconds(way):.2f} s", str(line.ratio(way))]
        for line in lines
        for way in COPIED_BY
        if way in line.runs
    ]


def _body(lines: list[Line]) -> str:
    steps = [
        [line.case.name, side, *(f"{seconds:.2f}" for seconds in line.steps(side).values())]
        for line in lines
        for side in line.runs
    ]
    bounds = [
        [
            line.case.name,
            _largest(line.added("fast")),
            _largest(line.steps("auto")),
            *(f"{seconds:.2f} s" for seconds in line.sandbox.values()),
        ]
        for line in lines
    ]
    return f"""The script is `rsync -a`, `7z a -mx1 -mmt=on`, `7z t`, `cp` to the remote folder, `cmp`, `rm -r`, and
nothing else. The product does this too; besides it scans the source and the copy anew wherever it relies on them,
hashes every file while it copies it and once more before it deletes it, compares the archive's listing with the
manifest, hashes the archive twice, has Globus (the sandbox, in the same process) compute checksums of both sides and
compare them in a second task, makes everything durable, and looks at each entry once more before it deletes it.
"/ script" is the median of the ratios of the rounds, with the least and the most. "Beyond one small file" leaves
out, of both sides, what the first line takes: it is what the ratio goes towards as folders grow. "processor" counts
the seconds that all processes together had a processor. {FORGOTTEN}

{table(_HEADS, map(_row, lines))}

Folders of this size are copied by shutil. The same in `fast`, as larger ones are copied by default:

{table(("Folder", "copied by", "script", "`fast`", "/ script"), _rows_of_ways(lines))}

Seconds of each step of the job, by the times in its log, and of the script's commands that do the same, medians.
"test" makes the archive durable, too, and holds the removal of the temporary copy; the script's `cp` and `cmp` stand
for what Globus does:

{table(("Folder", "side", *STEPS), steps)}

What bounds it are these steps, the largest first, until two thirds of all are named: in `fast` by what they take
beyond the script, in `auto`, which is to leave 7-Zip's time out, by what they take. 7-Zip has the same switches on both
sides (`-mf=off` and some for names and links besides): what "pack" differs by is the machine. "Sandbox alone" is what
its copy and checksums of that archive take without the product; in a job they begin while "ask Globus" goes on. The
rest of those two steps is asking how far they are: at once, 20 ms later, and then after ever longer pauses, each 15 %
longer.

{table(("Folder", "`fast`, beyond the script", "`auto`", "sandbox alone: upload", "comparison"), bounds)}

The archive is not hashed while Globus compares it, and the source not read again then: to compare is to send what
differs, so that a comparison of a damaged archive would replace a good one at the destination; and the last look at
the source is to be the last.

`auto` compresses what shrinks by at least 1 % in samples, so it gains nothing on text and nearly all of it on media.
Where samples mislead, as with equal files that do not shrink by themselves, or types of which few shrink, its archive
may be much larger than that of `fast`."""


async def _measure(order: Order) -> Findings:
    lines: list[Line] = []
    all_cases = cases(full=order.full)
    for case in all_cases:
        if case is ONE_SMALL or order.only in case.name:
            ways = {**MODES, **(COPIED_BY if case is all_cases[1] else {})}
            runs = await measured(case, ways, order.rounds)
            here = {side: median(run.seconds for run in of_side) for side, of_side in runs.items()}
            lines.append(Line(case, runs, lines[0].of_a_job if lines else here))
            order.tell(" | ".join(_row(lines[-1])))
    return Findings(_claims(lines), _body(lines))


BENCHMARK = Benchmark("pipeline", "The pipeline", _measure, versions=("7-Zip", "rsync", "coreutils", "SQLite"))
