"""Personal API tokens, made and revoked by their owners."""

from datetime import timedelta
from typing import Any

from aiohttp import web

from cs_archiver.db.tokens import TokenLine
from cs_archiver.domain.access import Scope
from cs_archiver.errors import InvalidRequest, JobError, NotFound
from cs_archiver.server.contract.forms import Form, PageQuery
from cs_archiver.server.contract.tokens import TokenDays, TokenName
from cs_archiver.server.keys import FLASHES, TOKENS
from cs_archiver.server.links import link
from cs_archiver.server.pages.flash import Flash, Level
from cs_archiver.server.pages.frame import go_on, redirect, refused, render
from cs_archiver.server.route import Call

_SETTINGS, _NEW = "/settings", "settings_token_new.html"


class TokenForm(Form):
    name: TokenName
    scope: Scope
    expires_in_days: TokenDays


class CreatedQuery(PageQuery):
    """`shown` names a token that was made a moment ago, until it is shown."""

    shown: str = ""


async def ask(call: Call[PageQuery, None]) -> web.Response:
    return await render(call.request, _NEW, {"given": None})


async def create(call: Call[None, TokenForm]) -> web.Response:
    wish = call.body
    call.concerns(f"{wish.name} ({wish.scope})")
    lifetime = timedelta(days=wish.expires_in_days)
    try:
        created = await call.service(TOKENS).create(call.user, name=wish.name, scope=wish.scope, lifetime=lifetime)
    except (InvalidRequest, JobError) as error:
        return await refused(call, error, _NEW, {"given": wish})
    # Through a page of its own, so that loading it again makes no second token.
    kept = call.service(FLASHES).leave(call.caller.credential, Flash(Level.SUCCESS, created.token))
    return redirect(link(call.request.app, "/settings/tokens/created", shown=kept))


async def created(call: Call[CreatedQuery, None]) -> web.Response:
    kept = call.service(FLASHES).take(call.caller.credential, call.query.shown)
    if kept is None:
        text = "A new token is shown once only. If you lost it, revoke it and make another."
        return go_on(call, _SETTINGS, text, Level.WARNING)
    return await render(call.request, "settings_token_created.html", {"token": kept.text})


async def ask_to_revoke(call: Call[PageQuery, None]) -> web.Response:
    return await render(call.request, "settings_token_revoke.html", {"token": await _own(call)})


async def revoke(call: Call[None, Form]) -> web.Response:
    token_id = call.number_in_path("token_id")
    await call.service(TOKENS).revoke(call.user, token_id)
    return go_on(call, _SETTINGS, "The token is revoked: programs that use it are refused from now on.")


async def _own(call: Call[Any, Any]) -> TokenLine:
    token_id = call.number_in_path("token_id")
    for token in await call.service(TOKENS).listed(call.user):
        if token.id == token_id:
            return token
    raise NotFound("token-not-found", "You have no token of this id.")
