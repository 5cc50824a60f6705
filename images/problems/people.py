"""Signing in, people, and teams."""

from django.utils.translation import gettext_lazy as _

from images.problems.problem import Problem

PEOPLE: dict[str, Problem] = {
    "sign_in_wait": Problem(
        _("Too many attempts to sign in. Wait %(minutes)s min, then try again."),
        _("The password was wrong several times in a row."),
        _("Who forgot the password asks an admin for a new one."),
    ),
    "last_admin": Problem(
        _("Nobody would be left who may manage teams."),
        _("This is the last active admin, or the last grant that makes one."),
        _("Give another active person a team with the role Admin on all hosts first."),
    ),
    "own_password": Problem(
        _("This is your own account."), "", _("Change your own password in the menu under your name.")
    ),
    "grant_twice": Problem(
        _("%(team)s has the role %(role)s there already."),
        "",
        _("Choose another role or another group of hosts."),
    ),
}
