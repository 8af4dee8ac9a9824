"""What can happen to the service, its database and its host, and what is paused."""

from tests.faults.machine_steps import PATIENCE, Steps

_NOTICED_SECONDS = 1.2  # until the service has seen what another process changed


class HostSteps(Steps):
    kills = 0

    def the_service_is_stopped(self, again: bool) -> None:
        self.world.stop()
        self._start_if(again)
        self._tell(f"stop, {again=}")

    def the_service_is_killed(self, milliseconds: int, again: bool) -> None:
        if not self.world.host.can_be_killed:
            return
        self.world.pass_time(milliseconds / 1000)
        self.world.kill()
        self.kills += 1
        self._start_if(again)
        self._tell(f"kill after {milliseconds} ms, {again=}")

    def the_service_is_started(self) -> None:
        if not self.world.is_up:
            self._start_if(True)
            self._tell("start")

    def the_hours_end(self, are_over: bool) -> None:
        """The service is started anew with hours in which nothing may begin now, or without any."""
        if self.world.are_hours_over is not are_over:
            self._end_service()
            self.world.are_hours_over = are_over
            self._start_if(True)
            self._tell(f"the hours end, {are_over=}")

    def somebody_turns_a_switch(self, switch: str, paused: bool) -> None:
        self.model.check()
        status, body = self.world.call("PUT", f"/api/system/switches/{switch}", json={"paused": paused})
        assert status == 200, body
        self._turned(switch, paused=paused)

    def somebody_turns_a_switch_on_the_host(self, switch: str, paused: bool) -> None:
        self.model.check()
        if self.world.command("pause" if paused else "resume", switch):
            self.world.pass_time(_NOTICED_SECONDS if self.world.is_up else 0)
            self._turned(switch, paused=paused)

    def deletions_are_paused_in_the_middle(self, name: str) -> None:
        """Between two entries of a deletion; only where the product runs in this process."""
        brake = self.world.host.brake
        if brake is None or not self.model.active_of(name):
            return
        brake.put_on(self.world.folders[name].path)
        try:
            if not self._wait(brake.reached.is_set, seconds=PATIENCE):
                return
            status, body = self.world.call("PUT", "/api/system/switches/deletions", json={"paused": True})
            assert status == 200, body
        finally:
            brake.let_go()
        self._turned("deletions", paused=True)

    def the_database_is_backed_up(self) -> None:
        if not self.world.backup.exists() and self.world.back_up_database():
            self._tell("back the database up")

    def the_database_is_restored(self) -> None:
        if self.world.backup.exists():
            self._end_service()
            if self.world.restore_database():
                self._is_older("restore the database")
            self._start_if(True)

    def the_program_is_upgraded(self) -> None:
        """All that happened so far was the work of the first version, which could pause nothing."""
        self._end_service()
        self.world.make_database_old()
        self.model.deletions_may_go_on()
        self._start_if(True)
        self._tell("upgrade")

    def a_snapshot_of_the_host_is_taken(self) -> None:
        if not self.world.snapshot.exists():
            self.world.end_somehow()
            self.world.take_snapshot()
            self._start_if(True)
            self._tell("take a snapshot of the host")

    def the_host_goes_back_to_its_snapshot(self) -> None:
        """Its database and its archives are older then; what was nowhere else is gone with them, so not that."""
        if self.world.snapshot.exists() and not self.model.has_only_copies:
            self.world.end_somehow()
            self.model.check()
            self.world.go_back_to_snapshot()
            self._is_older("go back to the snapshot of the host")
            self._start_if(True)

    def _end_service(self) -> None:
        if self.world.is_up:
            self.world.stop()
        self.model.check()

    def _is_older(self, what: str) -> None:
        self.model.database_was_restored()
        self.model.deletions_may_go_on()
        self._tell(what)

    def _start_if(self, wanted: bool) -> None:
        if wanted and self.world.place.nas.exists():  # without its mount point the service refuses to start
            self.world.start()

    def _turned(self, switch: str, *, paused: bool) -> None:
        self._tell(f"{'pause' if paused else 'resume'} {switch}")
        if switch == "deletions" and paused:
            self.model.deletions_are_paused()
        elif switch == "deletions":
            self.model.deletions_may_go_on()
