"""What is paused, and the wish to pause or resume."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field

from cs_archiver.domain.switches import EFFECTS, Switch
from cs_archiver.server.contract.base import Answer, Body, Moment
from cs_archiver.services.switches import SwitchState


class SwitchWish(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"paused": True}]})

    paused: bool


class SwitchShown(Answer):
    name: Switch
    paused: bool
    since: Annotated[Moment | None, Field(description="Null where it is not paused.")]
    by: Annotated[str | None, Field(description="Who paused it first.")]
    effect: Annotated[str, Field(description="What pausing it does.")]

    @classmethod
    def of(cls, state: SwitchState) -> Self:
        pause = state.pause
        return cls(
            name=state.switch,
            paused=pause is not None,
            since=None if pause is None else pause.since,
            by=None if pause is None else pause.by,
            effect=EFFECTS[state.switch],
        )
