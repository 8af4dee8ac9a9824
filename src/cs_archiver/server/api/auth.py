"""Signing in and out, and the password."""

from cs_archiver.server.contract.auth import Account, Credentials, PasswordChange, Session
from cs_archiver.server.contract.base import Query
from cs_archiver.server.keys import ACCOUNTS
from cs_archiver.server.route import Bare, Call, Reply


async def login(call: Call[Query, Credentials]) -> Reply:
    session = await call.service(ACCOUNTS).login(call.body.username, call.body.password)
    return Reply(Session.of(session))


async def logout(call: Bare) -> Reply:
    await call.service(ACCOUNTS).logout(call.token)
    return Reply()


async def me(call: Bare) -> Reply:
    return Reply(Account.of(call.user))


async def change_password(call: Call[Query, PasswordChange]) -> Reply:
    accounts, change = call.service(ACCOUNTS), call.body
    session = await accounts.change_password(call.user, change.current_password, change.new_password)
    return Reply(Session.of(session))
