"""People, the teams they belong to, and what a team may do where."""

from typing import ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from images.models.host import HostGroup


class Permission(models.TextChoices):
    """What can be allowed. `access.py` is the only place that asks."""

    VIEW = "view", _("View")
    PULL = "pull", _("Pull")
    BUILD = "build", _("Build")
    TAG = "tag", _("Tag")
    PUSH = "push", _("Push")
    REMOVE = "remove", _("Remove")
    RUN_CLEANUP = "run_cleanup", _("Run cleanup")
    EDIT_POLICIES = "edit_policies", _("Edit policies")
    MANAGE_HOST = "manage_host", _("Manage hosts")
    MANAGE_TEAM = "manage_team", _("Manage teams")


class User(AbstractUser):
    """A person who signs in. A superuser may do everything everywhere."""

    must_change_password = models.BooleanField(_("must choose a new password"), default=False)
    language = models.CharField(_("language"), max_length=10, blank=True, default="")

    objects: ClassVar[UserManager["User"]] = UserManager()  # type: ignore[assignment]

    class Meta:
        ordering = ["username"]

    def __str__(self) -> str:
        return self.get_full_name() or self.username


class Team(models.Model):
    """People who are given the same rights."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    members = models.ManyToManyField(User, verbose_name=_("members"), related_name="teams", blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


# Stored in English by the migration; these calls bring the names into the catalogue.
_BUILT_IN_NAMES = (
    gettext_noop("Viewer"),
    gettext_noop("Operator"),
    gettext_noop("Maintainer"),
    gettext_noop("Admin"),
)


class Role(models.Model):
    """A named set of permissions; viewer, operator, maintainer and admin come with Drydock."""

    slug = models.SlugField(unique=True)
    name = models.CharField(_("name"), max_length=100, unique=True)
    permissions = models.JSONField(_("permissions"), default=list)  # list of Permission values
    is_built_in = models.BooleanField(default=False)
    position = models.PositiveSmallIntegerField(default=100)

    class Meta:
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return gettext(self.name) if self.is_built_in else self.name


class Grant(models.Model):
    """Gives a team a role on the hosts of a group, or on every host when no group is named."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="grants", verbose_name=_("team"))
    role = models.ForeignKey(Role, models.PROTECT, related_name="grants", verbose_name=_("role"))
    group = models.ForeignKey(
        HostGroup, models.CASCADE, null=True, blank=True, related_name="grants", verbose_name=_("host group")
    )

    class Meta:
        ordering = ["team__name", "role__position"]
        constraints = [
            models.UniqueConstraint(fields=["team", "role", "group"], name="grant_once"),
            # A null group is distinct from every other null, so "all hosts" needs its own constraint.
            models.UniqueConstraint(
                fields=["team", "role"], condition=models.Q(group=None), name="grant_once_on_all_hosts"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.team}: {self.role} @ {self.group or '*'}"
