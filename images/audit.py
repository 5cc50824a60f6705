"""Writes the audit log. Every service that changes something calls `record` once, in its own transaction."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from images.errors import Text
from images.models import AuditEntry, Host, User


def record(
    *,
    by: User | None,
    action: str,
    target: object = "",
    host: Host | None = None,
    outcome: str = AuditEntry.Outcome.DONE,
    **detail: Any,
) -> AuditEntry:
    """Adds one row. `by` is None for what Drydock does by itself; `detail` is JSON and holds no secret."""
    return AuditEntry.objects.create(
        actor=by,
        actor_name=by.get_username() if by else "",
        action=action,
        target=str(target)[:450],
        host=host,
        host_name=host.name if host else "",
        outcome=outcome,
        detail=detail,
    )


# What each action is called on the audit page; operations add theirs. A test holds this list and the calls of
# `record` together.
ACTIONS: dict[str, Text] = {
    "user.sign_in": _("Sign in"),
    "user.own_password": _("Change own password"),
    "user.add": _("Add a person"),
    "user.activate": _("Activate a person"),
    "user.deactivate": _("Deactivate a person"),
    "user.password": _("Set a new password"),
    "user.teams": _("Change a person's teams"),
    "team.add": _("Add a team"),
    "team.edit": _("Edit a team"),
    "team.remove": _("Remove a team"),
    "grant.add": _("Give a role"),
    "grant.remove": _("Take a role"),
    "group.add": _("Add a host group"),
    "group.edit": _("Edit a host group"),
    "group.remove": _("Remove a host group"),
    "host.add": _("Add a host"),
    "host.edit": _("Edit a host"),
    "host.on": _("Switch a host on"),
    "host.off": _("Switch a host off"),
    "host.remove": _("Remove a host"),
    "registry.add": _("Add a registry"),
    "registry.edit": _("Edit a registry"),
    "registry.remove": _("Remove a registry"),
    "registry.try": _("Test a registry"),
    "git_account.add": _("Add a git account"),
    "git_account.edit": _("Edit a git account"),
    "git_account.remove": _("Remove a git account"),
    "pin.add": _("Pin an image"),
    "pin.remove": _("Take a pin away"),
    "image.reveal": _("Show hidden values of an image"),
    "image.force": _("Remove images by force"),
    "job.cancel": _("Cancel a job"),
    "upload.add": _("Send files for a build"),
    "policy.add": _("Add a policy"),
    "policy.edit": _("Edit a policy"),
    "policy.remove": _("Remove a policy"),
    "policy.on": _("Switch a policy on"),
    "policy.off": _("Switch a policy off"),
    "policy.seen": _("Look at a policy's plan"),
    "run.start": _("Start a run"),
    "run.approve": _("Approve a run"),
    "run.cancel": _("Cancel a run"),
    "run.end": _("End of a run"),
    "cleanup.pause": _("Pause all cleanup"),
    "cleanup.resume": _("Resume cleanup"),
}
