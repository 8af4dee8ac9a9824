"""Whatever users, Globus, the NAS and crashes do, in any order: nothing is lost and every job comes to its end.

A hypothesis state machine over the whole product. Its rules are what people and the world can do; after each of them
machine_model.py judges from outside: every byte is in the source or in an archive that stock 7-Zip restores, and only a
job that had the right to delete has deleted; no archive that is needed was touched; states move along a table of our
own, first in, first out; a marker stands wherever something is gone; nothing is sent twice. At the end all troubles
cease, every job must come to a final state, and what is left is submitted once more and must be archived.

A case is a few runs with a seed of its own, the service in this process ("stopped") or in one of its own, where it is
also killed by SIGKILL ("killed"). The schedule of threads and processes is no part of the seed: the steps of a
failure are in its message.
"""

import sys
from collections import ChainMap, Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp
from traceback import format_exception
from typing import Any, ClassVar, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from hypothesis.strategies import SearchStrategy

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox.faults import Answer, Effect, Fail, Hang, Hold, LoseReply, Outcome, SlowCancel, Truncate
from tests.faults.globus_world import hurry
from tests.faults.life import zygote_process
from tests.faults.machine_folder import CHANGES
from tests.faults.machine_host_steps import HostSteps
from tests.faults.machine_model import FINAL
from tests.faults.machine_world import CHOICES, SWITCHES, World
from tests.faults.scale import pick
from tests.support.tally import Count

pytestmark = [pytest.mark.timeout(1200), pytest.mark.long]

STEPS = 460
RUNS = pick(2, 6)  # the first is the simplest of all, and does nothing
SETTINGS = settings(
    max_examples=RUNS,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    print_blob=True,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
CASES = {"stopped": pick(1, 280), "killed": pick(1, 120)}
_A_FEW = 5  # steps that make a run worth its end
FOLDERS = ("Alpha", "Beta", "Gamma")
_UPLOADS, _COMPARISONS = "CS Archiver job", "CS Archiver comparison"
_BROKEN = Answer(503, {"code": "ServiceUnavailable", "message": "try later"})

FAULTS: tuple[tuple[Operation, Effect, str], ...] = (
    (Operation.TRANSFER, LoseReply(), ""),
    (Operation.SUBMISSION_ID, LoseReply(), ""),
    (Operation.TRANSFER, Hang(), ""),
    (Operation.TASK, _BROKEN, ""),
    (Operation.TASK, Truncate(), ""),
    (Operation.STAT, _BROKEN, ""),
    (Operation.CANCEL, LoseReply(), ""),
    (Operation.RUN, Hold("STUCK", 0.2), ""),
    (Operation.RUN, Hold("INACTIVE", 0.2), ""),
    (Operation.RUN, SlowCancel(0.1), ""),
    (Operation.RUN, Fail(), _UPLOADS),
    (Operation.RUN, Fail(), _COMPARISONS),
    *((Operation.RUN, Outcome(kind), _UPLOADS) for kind in ("FLIPPED_BIT", "TRUNCATED", "MISSING", "SKIPPED")),
)


class Kind(NamedTuple):
    """How often it is chosen, what it needs to make sense, and what may be chosen with it."""

    weight: int
    act: Callable[..., None]
    arguments: Mapping[str, SearchStrategy[Any]]
    needs_service: bool = False
    needs_nas: bool = False


_names = st.sampled_from(FOLDERS)
_numbers = st.integers(0, 7)
_mostly = st.sampled_from([True, True, True, False])
_pages = st.sampled_from(["folders?refresh=true", "jobs", "queue", "system/status"])
_states = st.sampled_from(["compressing", "uploading", "upload_verifying", "deleting_source", "completed", "failed"])
_versions = st.sampled_from(["", ".v2", ".v3"])
_switches = st.sampled_from([*SWITCHES, "deletions", "deletions"])
_S = HostSteps
_KINDS = (
    Kind(8, _S.time_passes, {"milliseconds": st.integers(1, 60)}),
    Kind(6, _S.a_folder_is_filled_and_submitted, {"name": _names}, needs_service=True, needs_nas=True),
    Kind(3, _S.submit, {"name": _names, "new_version": st.booleans(), "look": _mostly}, needs_service=True),
    Kind(2, _S.two_people_submit, {"name": _names}, needs_service=True),
    Kind(4, _S.cancel, {"number": _numbers}, needs_service=True),
    Kind(3, _S.retry, {"number": _numbers}, needs_service=True),
    Kind(5, _S.look, {"path": _pages}, needs_service=True),
    Kind(10, _S.change, {"name": _names, "how": st.sampled_from(CHANGES), "number": _numbers}, needs_nas=True),
    Kind(1, _S.swap_a_folder, {"name": _names}, needs_nas=True),
    Kind(2, _S.put_the_folders_back, {}, needs_nas=True),
    Kind(1, _S.remove_the_marker, {"name": _names}, needs_nas=True),
    Kind(
        6,
        _S.globus_will_fail,
        {"which": st.sampled_from(FAULTS), "times": st.integers(1, 4), "skip": st.integers(0, 2)},
    ),
    Kind(1, _S.the_secret_is_revoked, {"times": st.integers(0, 4)}),
    Kind(2, _S.globus_is_well_again, {}),
    Kind(3, _S.somebody_damages_what_has_arrived, {"how": st.sampled_from(["flip", "cut", "extend", "remove"])}),
    Kind(2, _S.somebody_puts_a_file_at_the_destination, {"name": _names, "version": _versions}),
    Kind(1, _S.the_nas_is_unmounted, {"empty": st.booleans()}, needs_nas=True),
    Kind(3, _S.the_nas_is_back, {}),
    Kind(1, _S.the_service_is_stopped, {"again": _mostly}, needs_service=True),
    Kind(3, _S.the_service_is_killed, {"milliseconds": st.integers(0, 60), "again": _mostly}, needs_service=True),
    Kind(3, _S.the_service_is_started, {}),
    Kind(2, _S.the_database_is_backed_up, {}),
    Kind(1, _S.the_database_is_restored, {}),
    Kind(1, _S.the_program_is_upgraded, {}),
    Kind(1, _S.a_snapshot_of_the_host_is_taken, {}),
    Kind(1, _S.the_host_goes_back_to_its_snapshot, {}),
    Kind(1, _S.the_hours_end, {"are_over": st.just(True)}, needs_service=True),
    Kind(2, _S.the_hours_end, {"are_over": st.just(False)}),
    Kind(2, _S.somebody_turns_a_switch, {"switch": _switches, "paused": st.just(True)}, needs_service=True),
    Kind(4, _S.somebody_turns_a_switch, {"switch": _switches, "paused": st.just(False)}, needs_service=True),
    Kind(1, _S.somebody_turns_a_switch_on_the_host, {"switch": _switches, "paused": st.booleans()}),
    Kind(3, _S.deletions_are_paused_in_the_middle, {"name": _names}, needs_service=True, needs_nas=True),
    Kind(4, _S.a_folder_below_is_frozen, {"name": _names}, needs_nas=True),
    Kind(2, _S.the_folders_below_thaw, {}),
    Kind(4, _S.somebody_takes_away_an_archive_that_is_needed, {"name": _names}, needs_nas=True),
    Kind(1, _S.people_clear_what_is_completed, {}, needs_service=True),
    Kind(6, _S.a_job_comes_to, {"state": _states}, needs_service=True),
    Kind(2, _S.all_jobs_come_to_their_end, {}, needs_service=True),
)
KINDS = {kind.act.__name__: kind for kind in _KINDS}


def a_step() -> SearchStrategy[tuple[str, dict[str, Any]]]:
    """The name of a step and its arguments."""
    names = [name for name, kind in KINDS.items() for _ in range(kind.weight)]
    return st.sampled_from(names).flatmap(
        lambda name: st.tuples(st.just(name), st.fixed_dictionaries(dict(KINDS[name].arguments)))
    )


def a_choice_of_settings() -> SearchStrategy[dict[str, str]]:
    return st.tuples(*map(st.sampled_from, CHOICES)).map(lambda chosen: {**dict(ChainMap(*map(dict, chosen)))})


@pytest.fixture(scope="module")
def zygote() -> Iterator[Path]:
    with zygote_process() as path:
        yield path


@pytest.mark.parametrize(
    ("host", "number"), [(host, number) for host, cases in CASES.items() for number in range(cases)]
)
def test_nothing_is_lost_and_nothing_gets_stuck_whatever_happens(
    root: Path, count: Count, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, host: str, number: int
) -> None:
    hurry(monkeypatch)
    seen: Counter[str] = Counter()
    zygote = request.getfixturevalue("zygote") if host == "killed" else None
    failures: list[str] = []
    members = {"root": root, "zygote": zygote, "seen": seen, "failures": failures}
    machine = seed(number)(type("Machine", (Machine,), members))
    try:
        run_state_machine_as_test(machine, settings=SETTINGS)
    except Flaky as flaky:  # it went otherwise when it was tried again: the first time is what counts
        raise AssertionError("\n".join(failures[:1])) from flaky
    assert seen["jobs completed"] > 0, seen
    for what, times in seen.items():
        count(f"state machine {what}", times)


class Machine(RuleBasedStateMachine):
    root: ClassVar[Path]
    zygote: ClassVar[Path | None]
    seen: ClassVar[Counter[str]]
    failures: ClassVar[list[str]]

    @initialize(settings=a_choice_of_settings(), wanted=st.lists(st.sampled_from(FOLDERS), unique=True, min_size=1))
    def begin(self, settings: dict[str, str], wanted: list[str]) -> None:
        self.steps = HostSteps(World(Path(mkdtemp(dir=self.root)), FOLDERS, self.zygote, settings))
        self.steps.told.append(f"settings {settings}")
        for name in wanted:
            self.steps.submit(name, new_version=False, look=True)

    @rule(step=a_step())
    def do(self, step: tuple[str, dict[str, Any]]) -> None:
        name, arguments = step
        kind, world = KINDS[name], self.steps.world
        if (world.is_up or not kind.needs_service) and not (world.nas_is_away and kind.needs_nas):
            kind.act(self.steps, **arguments)

    @invariant()
    def all_is_well(self) -> None:
        self.steps.model.check()

    def teardown(self) -> None:
        failure = sys.exc_info()[1]  # of a step, or what ends a run before its time
        try:
            if failure is None:
                self._end()
        except Exception as error:
            failure = error
            raise
        finally:
            if isinstance(failure, Exception):
                failure.add_note("\n".join(self.steps.told))
                self.failures.append("".join(format_exception(failure)))
            self.steps.world.close()

    def _end(self) -> None:
        self.steps.settle()
        if self.steps.told[_A_FEW:]:
            self.steps.archive_what_is_left()
        self._count()

    def _count(self) -> None:
        steps = self.steps
        # What is told first are the settings: no step.
        self.seen["steps"] += sum(before != after for before, after in pairwise(steps.told))
        self.seen["runs"] += 1
        self.seen["SIGKILLs"] += steps.kills
        self.seen["older databases and hosts put back"] += steps.model.restores
        self.seen["archives taken away in the middle of a deletion"] += steps.model.taken
        self.seen["faults of Globus that struck"] += len(steps.world.sandbox.faults.fired)
        for state in FINAL:
            self.seen[f"jobs {state}"] += len(steps.model.ended[state])
