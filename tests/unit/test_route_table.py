"""What the URL table says of who may call what: written out once more, so that a change of it is a decision."""

import pytest

from cs_archiver.domain.access import Scope
from cs_archiver.server.route import Route, Who
from cs_archiver.server.routes import API, ROUTES
from tests.support.api import FOR_MONITORS


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


def test_only_these_need_no_sign_in() -> None:
    """Written out, so that opening another one is a decision and not a slip."""
    assert {_name(route) for route in ROUTES if route.who is Who.ANYONE} == {
        "GET /",
        "GET /static/{name:.+}",
        "GET /login",
        "POST /login",
        "POST /login/code",
        "POST /api/auth/login",
        "GET /api/health",
        "GET /api/ready",
        "GET /api/openapi.json",
        "GET /api/docs",
    }


def test_only_these_are_for_monitors_who_sign_in_nowhere() -> None:
    assert {_name(route) for route in ROUTES if route.is_for_monitors} == FOR_MONITORS


def test_a_newcomer_may_only_look_at_the_account_and_change_its_password() -> None:
    assert {_name(route) for route in ROUTES if route.who is Who.NEWCOMER} == {
        "POST /logout",
        "GET /password",
        "POST /password",
        "POST /api/auth/logout",
        "GET /api/auth/me",
        "GET /api/auth/csrf",
        "POST /api/auth/password",
    }


def test_an_administrator_without_the_second_factor_that_is_needed_may_only_switch_one_on() -> None:
    assert {_name(route) for route in ROUTES if route.who is Who.ENROLLING} == {
        "GET /reauthenticate",
        "POST /reauthenticate",
        "GET /second-factor",
        "POST /second-factor",
        "POST /second-factor/confirm",
        "GET /api/auth/second-factor",
        "POST /api/auth/second-factor",
        "POST /api/auth/second-factor/confirm",
    }


def test_these_are_for_administrators() -> None:
    assert {_name(route) for route in ROUTES if route.who is Who.ADMIN} == {
        "GET /admin/users",
        "GET /admin/users/new",
        "POST /admin/users",
        "GET /admin/users/{user_id}/delete",
        "POST /admin/users/{user_id}/delete",
        "GET /admin/users/{user_id}/password",
        "POST /admin/users/{user_id}/password",
        "GET /admin/users/{user_id}/second-factor",
        "POST /admin/users/{user_id}/second-factor",
        "GET /admin/notifications",
        "POST /admin/notifications/test",
        "GET /admin/audit",
        "GET /api/users",
        "POST /api/users",
        "DELETE /api/users/{user_id}",
        "POST /api/users/{user_id}/password",
        "DELETE /api/users/{user_id}/second-factor",
        "GET /api/audit",
        "POST /api/notifications/test",
    }


def test_only_these_are_closed_to_personal_tokens() -> None:
    assert {_name(route) for route in API if route.scope is None and route.who is not Who.ANYONE} == {
        "POST /api/auth/logout",
        "POST /api/auth/password",
        "GET /api/auth/csrf",
        "GET /api/auth/sessions",
        "DELETE /api/auth/sessions/{session_id}",
        "GET /api/auth/tokens",
        "POST /api/auth/tokens",
        "DELETE /api/auth/tokens/{token_id}",
        "GET /api/auth/second-factor",
        "POST /api/auth/second-factor",
        "POST /api/auth/second-factor/confirm",
        "POST /api/auth/second-factor/recovery-codes",
        "DELETE /api/auth/second-factor",
    }


def test_whatever_changes_accounts_or_sessions_needs_a_recent_sign_in() -> None:
    """But for what only takes something away from the caller, and what asks for the password itself."""
    assert {
        _name(route) for route in ROUTES if not route.is_safe and not route.is_sensitive and _is_of_accounts(route)
    } == {
        "POST /login",
        "POST /login/code",
        "POST /logout",
        "POST /password",
        "POST /reauthenticate",
        "POST /settings/display",
        "POST /settings/password",
        "POST /settings/tokens/{token_id}/revoke",
        "POST /api/auth/login",
        "POST /api/auth/logout",
        "POST /api/auth/password",
        "DELETE /api/auth/tokens/{token_id}",
    }
    assert {_name(route) for route in ROUTES if route.is_safe and route.is_sensitive} == {
        "GET /second-factor",
        "GET /second-factor/off",
        "GET /settings/tokens/new",
        "GET /admin/users/new",
        "GET /admin/users/{user_id}/delete",
        "GET /admin/users/{user_id}/password",
        "GET /admin/users/{user_id}/second-factor",
    }


def _is_of_accounts(route: Route) -> bool:
    places = (
        "/api/auth/",
        "/api/users",
        "/admin/users",
        "/settings",
        "/log",
        "/password",
        "/reauthenticate",
        "/second-factor",
    )
    return route.path.startswith(places)


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_each_route_declares_a_role_and_a_scope_that_fit_together(route: Route) -> None:
    assert isinstance(route.who, Who)
    if route.who is Who.ANYONE:
        assert route.scope is None
    elif route.scope is not None:
        assert isinstance(route.scope, Scope)
        assert (route.who is Who.ADMIN) is (route.scope is Scope.ADMIN)
        assert (route.method == "GET") is (route.scope is Scope.READ) or route.scope is Scope.ADMIN


def test_a_route_without_a_role_or_a_scope_cannot_be_written_down() -> None:
    with pytest.raises(TypeError, match="who"):
        Route("GET", "/new", ROUTES[0].handler, summary="Without both")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="scope"):
        Route("GET", "/new", ROUTES[0].handler, Who.USER, summary="Without one")  # type: ignore[call-arg]
