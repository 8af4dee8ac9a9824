"""The links at the top of every page."""

from typing import NamedTuple

from cs_archiver.server.route import Who


class NavItem(NamedTuple):
    """`icon` names a symbol of icons.svg."""

    path: str
    text: str
    icon: str
    who: Who = Who.USER


NAV = (
    NavItem("/folders", "Folders", "folder"),
    NavItem("/queue", "Queue", "queue"),
    NavItem("/history", "History", "history"),
    NavItem("/admin/users", "Users", "users", Who.ADMIN),
    NavItem("/checks", "Checks", "verify", Who.ADMIN),
    NavItem("/admin/audit", "Audit trail", "audit", Who.ADMIN),
    NavItem("/admin/notifications", "Notifications", "bell", Who.ADMIN),
)
"""The pages of everyday use, in this order; those for administrators come last, in a menu of their own."""

ACCOUNT_NAV = (NavItem("/settings", "Settings", "settings"),)
"""What stands in the menu under the user's name."""
