"""What people, Globus and the NAS can do, one step each, and what it all must come to."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox.faults import Answer, Effect, Outcome
from tests.faults.machine_model import Model
from tests.faults.machine_world import World

_BETWEEN_STEPS = 0.003
PATIENCE = 0.5
_MOST_SECONDS = 60.0
_SIGNED_OUT = Answer(401, {"error": "invalid_client"})


class Steps:
    """Each tells in `told` what it did; one that found nothing to do tells nothing, and does not count."""

    def __init__(self, world: World) -> None:
        self.told: list[str] = []
        self.world = world
        self.model = Model(world)
        self._has_faults = False

    def submit(self, name: str, new_version: bool, look: bool) -> None:
        if look:
            self.world.call("GET", "/api/folders?refresh=true")
        status, body = self.world.call("POST", "/api/jobs", json=self._wish(name, new_version))
        self._answered(name, status, body)
        self._tell(f"submit {name} {new_version=} {look=}: {status}")

    def a_folder_is_filled_and_submitted(self, name: str) -> None:
        """As is right for a folder that was archived before, or whose job came to nothing."""
        self.model.check()
        folder = self.world.folders[name]
        if not self.model.active_of(name):
            folder.remove_marker()
            folder.change("add", 0)
        self.submit(name, new_version=True, look=True)

    def two_people_submit(self, name: str) -> None:
        self.world.call("GET", "/api/folders?refresh=true")
        answers = self.world.call_twice("POST", "/api/jobs", json=self._wish(name, new_version=True))
        assert [status for status, _ in answers] != [201, 201], answers
        for status, body in answers:
            self._answered(name, status, body)
        self._tell(f"submit {name} twice: {[status for status, _ in answers]}")

    def cancel(self, number: int) -> None:
        job = self._some_job(number, self.model.active)
        status, body = self.world.call("DELETE", f"/api/jobs/{job}")
        assert status in (204, 404, 409), body
        self._tell(f"cancel {job}: {status}")

    def retry(self, number: int) -> None:
        job = self._some_job(number, [job for job, state in self.model.states.items() if state == "failed"])
        status, body = self.world.call("POST", f"/api/jobs/{job}/retry")
        assert status in (200, 404, 409), body
        self.model.excuses[job] += status == 200
        self._tell(f"retry {job}: {status}")

    def look(self, path: str) -> None:
        status, _body = self.world.call("GET", f"/api/{path}")
        self._tell(f"look at {path}: {status}")

    def change(self, name: str, how: str, number: int) -> None:
        if how == "rewrite" and not self.world.reads_content_again:
            return  # nobody could notice that, and the settings say that it will not be looked for
        if self.world.folders[name].change(how, number):
            self._tell(f"{how} in {name}, {number}")

    def swap_a_folder(self, name: str) -> None:
        if not self.world.folders[name].is_swapped:
            self.world.folders[name].swap()
            self._tell(f"swap {name} for a link")

    def put_the_folders_back(self) -> None:
        for name, folder in self.world.folders.items():
            if folder.is_swapped:
                folder.swap()
                self._tell(f"put {name} back")

    def remove_the_marker(self, name: str) -> None:
        self.model.check()
        if not self.model.active_of(name) and self.world.folders[name].remove_marker():
            self._tell(f"remove the marker of {name}")

    def a_folder_below_is_frozen(self, name: str) -> None:
        """Nobody can change what it holds; only once that is copied, or the job would not have begun at all."""
        states = {self.model.states[job] for job in self.model.active_of(name)}
        if states - {"queued", "copying"} and self.world.folders[name].freeze():
            self._tell(f"freeze the folder below {name}")

    def the_folders_below_thaw(self) -> None:
        thawed = [name for name, folder in self.world.folders.items() if folder.thaw()]
        if thawed:
            self._tell("thaw the folders below")

    def somebody_takes_away_an_archive_that_is_needed(self, name: str) -> None:
        """In the middle of the deletion that rests on it: from then on the local archive has the only copy."""
        self.model.check()
        path = self.model.archive_is_needed(name)
        if path is not None:
            path.unlink()
            self.model.somebody_took(path)
            self._tell(f"take away {path}, the archive of {name}")

    def people_clear_what_is_completed(self) -> None:
        status, body = self.world.call("DELETE", "/api/jobs/completed")
        assert status == 200, body
        self._tell(f"clear what is completed: {body}")

    def globus_will_fail(self, which: tuple[Operation, Effect, str], times: int, skip: int) -> None:
        operation, effect, match = which
        if effect == Outcome("FLIPPED_BIT") and not self.world.compares_again:
            return
        self.world.sandbox.faults.add(operation, effect, times=times, skip=skip, match=match)
        self._has_faults = True
        self._tell(f"{effect} at {operation} {match}, {times=} {skip=}")

    def the_secret_is_revoked(self, times: int) -> None:
        """Until it was asked for so many times, or all faults end; with 0 only the tokens are gone."""
        if not self._has_faults:
            self.world.sandbox.accounts.expire_tokens()
            self.world.sandbox.faults.add(Operation.TOKEN, _SIGNED_OUT, times=times)
            self._has_faults = True
            self._tell(f"revoke the secret, {times=}")

    def globus_is_well_again(self) -> None:
        if self._has_faults:
            self.world.sandbox.faults.clear()
            self._has_faults = False
            self._tell("all faults of Globus end")

    def somebody_damages_what_has_arrived(self, how: str) -> None:
        """Right after Globus has sent it, and before the product knows."""
        if how == "flip" and not self.world.compares_again:
            return
        if self.model.active and self._wait(lambda: bool(self.model.unverified()), seconds=PATIENCE, every=0.005):
            for job, path in self.model.unverified():
                damage(path, how)
                self.model.excuses[job] += 1
                self._tell(f"{how} {path}")

    def somebody_puts_a_file_at_the_destination(self, name: str, version: str) -> None:
        self.model.check()
        path = self.world.place.archive_of(self.world.folders[name].home, version)
        if not self.model.active_of(name) and not path.exists() and not self.model.tasks_at_work():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"somebody's own")
            self.model.expect_foreign(path)
            self._tell(f"put a file at {path}")

    def the_nas_is_unmounted(self, empty: bool) -> None:
        if not any(folder.is_swapped for folder in self.world.folders.values()):
            self.world.move_nas(leave_an_empty_folder=empty)
            self._tell(f"unmount the NAS, {empty=}")

    def the_nas_is_back(self) -> None:
        if self.world.nas_is_away:
            self.world.bring_nas_back()
            self._tell("mount the NAS")

    def time_passes(self, milliseconds: int) -> None:
        self.world.pass_time(milliseconds / 1000)
        self._tell(f"{milliseconds} ms pass")

    def a_job_comes_to(self, state: str) -> None:
        if self.model.active:
            before = self.model.seen[state]
            self._wait(lambda: self.model.seen[state] > before or not self.model.active, seconds=PATIENCE)
            self._tell(f"until a job is {state}")

    def all_jobs_come_to_their_end(self) -> None:
        if self.model.active:
            self._wait(lambda: not self.model.active, seconds=PATIENCE)
            self._tell(f"until all is done, but for {len(self.model.active)}")

    def settle(self) -> None:
        """When all troubles have ceased, every job comes to its end."""
        self.model.check()
        self.model.deletions_may_go_on()
        self.world.heal()
        self.model.check()
        if not self._wait(lambda: not self.model.active, seconds=_MOST_SECONDS):
            raise AssertionError(f"stuck: {self.world.call('GET', '/api/jobs')}")
        self.model.check_in_the_end()

    def archive_what_is_left(self) -> None:
        """As its user would: the marker of an archive before goes, and the folder is submitted once more."""
        for name, folder in self.world.folders.items():
            if not any(not (folder.path / file).is_symlink() for file in folder.files()):
                continue
            folder.remove_marker()
            self.submit(name, new_version=True, look=True)
            assert self.told[-1].endswith("201"), f"{name} was refused"
            self.settle()
            assert folder.files() == [], f"{folder.files()} left: {self.world.call('GET', '/api/jobs?limit=1')}"

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.world.pass_time(_BETWEEN_STEPS)

    def _wish(self, name: str, new_version: bool) -> dict[str, str]:
        on_existing = "new_version" if new_version else "fail"
        return {"folder_path": str(self.world.folders[name].home), "on_existing": on_existing}

    def _answered(self, name: str, status: int, body: Any) -> None:
        assert status in (201, 404, 409, 503), (status, body)
        if status == 201:
            self.model.was_asked_for(body["job_id"], name)

    def _some_job(self, number: int, wanted: list[str]) -> str:
        """One of these, or else one of all, or one that there is not."""
        jobs = wanted or [*self.model.states] or [str(UUID(int=0))]
        return jobs[number % len(jobs)]

    def _wait(self, enough: Callable[[], bool], *, seconds: float, every: float = 0.03) -> bool:
        deadline = monotonic() + seconds
        while not enough():
            if monotonic() > deadline:
                return False
            self.world.pass_time(every)
            self.model.follow()
        return True


def damage(path: Path, how: str) -> None:
    """While nobody looks."""
    if how == "remove":
        path.unlink()
        return
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"flip": bytes(content), "cut": bytes(content[:-1]), "extend": bytes(content) + b"x"}[how])
