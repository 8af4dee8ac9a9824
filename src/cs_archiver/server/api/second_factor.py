"""The second factor of the own account."""

from cs_archiver.server.contract.base import Query
from cs_archiver.server.contract.second_factor import Confirmation, Enrolment, RecoveryCodes, SecondFactor
from cs_archiver.server.keys import SECOND_FACTORS
from cs_archiver.server.route import Bare, Call, Reply


async def show(call: Bare) -> Reply:
    return Reply(SecondFactor.of(await call.service(SECOND_FACTORS).status(call.user)))


async def begin(call: Bare) -> Reply:
    return Reply(Enrolment.of(call.service(SECOND_FACTORS).begin(call.caller)))


async def confirm(call: Call[Query, Confirmation]) -> Reply:
    return Reply(RecoveryCodes(recovery_codes=await call.service(SECOND_FACTORS).confirm(call.caller, call.body.code)))


async def new_codes(call: Bare) -> Reply:
    return Reply(RecoveryCodes(recovery_codes=await call.service(SECOND_FACTORS).new_codes(call.user)))


async def switch_off(call: Bare) -> Reply:
    await call.service(SECOND_FACTORS).switch_off(call.caller)
    return Reply()
