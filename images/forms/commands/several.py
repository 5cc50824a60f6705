"""Pushing and pulling what was chosen in the list, several images in one go."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from images.accounts.prefixes import longest
from images.accounts.registries import full_repository
from images.commands.pull import pull_start
from images.commands.push import push_start
from images.forms.commands.base import BudgetForm, command
from images.forms.commands.moving import CopiesForm
from images.forms.commands.naming import is_reference
from images.models import Copy, Host, Job, Permission, Registry, User
from images.references import DEFAULT_REGISTRY, parse
from images.transfers.moving import MOST_COPIES

SHOWN = 8  # so many names are shown; the rest is a number
OFFICIAL = "library/"  # Docker Hub's own images, which no account of a team can push

Names = dict[str, list[Copy]]
"""The copies that have a name, by name."""


class NamesForm(CopiesForm):
    """The base: about every tag of the chosen copies, on the hosts they are on."""

    hosts = None  # type: ignore[assignment]
    text: Any = ""
    refused = _("You have no permission for this on their hosts, or they are switched off.")

    @cached_property
    def names(self) -> Names:
        found: Names = {}
        for copy in self.allowed:
            for reference in copy.references.all():
                if reference.tag and is_reference(reference.name):
                    found.setdefault(reference.name, []).append(copy)
        return dict(sorted(found.items()))

    @property
    def points(self) -> Sequence[str]:
        points = list(self.names)[:SHOWN]
        if (more := len(self.names) - SHOWN) > 0:
            points.append(ngettext("and %(n)s more", "and %(n)s more", more) % {"n": more})
        if untagged := sum(not copy.tag for copy in self.allowed):
            text = ngettext("%(n)s without a tag is left out.", "%(n)s without a tag are left out.", untagged)
            points.append(text % {"n": untagged})
        if left := len(self.chosen) - len(self.allowed):
            text = ngettext(
                "%(n)s is left out: you have no permission for this on its host, or it is switched off.",
                "%(n)s are left out: you have no permission for this on their hosts, or they are switched off.",
                left,
            )
            points.append(text % {"n": left})
        return points

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.names:
            raise ValidationError(gettext("None of these images has a tag."))
        if max(len(self.chosen), sum(map(len, self.names.values()))) > MOST_COPIES:
            raise ValidationError(
                gettext("That are more than %(most)s at once. Select fewer, and repeat it.")
                % {"most": MOST_COPIES}
            )
        return data


@command
class PullSeveralForm(NamesForm, BudgetForm):
    """Each image's tags, anew, where it is."""

    kind = "pull-several"
    title = _("Pull these again")
    submit = _("Pull")
    permission = source = Permission.PULL
    text: Any = _("Each tag is asked for anew on the host that has it.")

    def start(self, by: User) -> list[Job]:
        batch, above = uuid.uuid4(), self.cleaned_data.get("above_budget", False)
        return [
            job
            for name, copies in self.names.items()
            for job in pull_start(
                by=by, hosts=hosts_of(copies), reference=name, above_budget=above, batch=batch
            )
        ]


def hosts_of(copies: list[Copy]) -> list[Host]:
    """Each once: a host may hold an image twice."""
    return list({copy.host_id: copy.host for copy in copies}.values())


@dataclass
class Target:
    """A registry that names speak of, with the account that signs in there; None without one."""

    registry: str
    account: Registry | None
    names: Names = field(default_factory=dict)

    @property
    def label(self) -> str:
        count = len(self.names)
        if self.account:
            text = ngettext(
                "%(registry)s, with its account: %(n)s name",
                "%(registry)s, with its account: %(n)s names",
                count,
            )
        else:
            text = ngettext(
                "%(registry)s, without an account: %(n)s name",
                "%(registry)s, without an account: %(n)s names",
                count,
            )
        return text % {"registry": self.account.name if self.account else self.registry, "n": count}


def targets_of(names: Names) -> dict[str, Target]:
    """Where the names lead to, by the values of the form's boxes."""
    accounts = list(Registry.objects.only("name", "prefix", "username"))
    found: dict[str, Target] = {}
    for name, copies in names.items():
        parsed, account = parse(name), longest(accounts, full_repository(name))
        is_official = parsed.registry == DEFAULT_REGISTRY and parsed.path.startswith(OFFICIAL)
        # As the job does: an account without a user hides a shorter one that has one.
        if is_official or (account and not account.username):
            account = None
        key = f"{account.pk if account else 0}@{parsed.registry}"
        found.setdefault(key, Target(parsed.registry, account)).names[name] = copies
    return found


@command
class PushSeveralForm(NamesForm):
    kind = "push-several"
    title = _("Push these images")
    submit = _("Push")
    permission = source = Permission.PUSH

    targets = forms.MultipleChoiceField(
        label=_("To these registries"),
        widget=forms.CheckboxSelectMultiple,
        help_text=_(
            "An image goes by those of its names that speak of the registry. For another one, tag it first."
        ),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, user=user, **kwargs)
        self.by_key = targets_of(self.names)
        choices = [(key, target.label) for key, target in self.by_key.items()]
        self.fields["targets"].choices = choices  # type: ignore[attr-defined]
        with_account = [key for key, target in self.by_key.items() if target.account]
        self.initial.setdefault("targets", with_account)

    def clean_targets(self) -> Names:
        """The names to push, which are one image each: the last push would win, and nobody could tell which."""
        wanted = {
            name: copies
            for key in self.cleaned_data["targets"]
            for name, copies in self.by_key[key].names.items()
        }
        for name, copies in wanted.items():
            if len({copy.image_id for copy in copies}) > 1:
                values = {"name": name, "hosts": ", ".join(str(copy.host) for copy in copies)}
                raise ValidationError(
                    gettext("%(name)s is not the same image on %(hosts)s. Select one of them.") % values
                )
        return wanted

    def start(self, by: User) -> list[Job]:
        """An image that several hosts have goes from one of them that is online, if there is one."""
        batch, wanted = uuid.uuid4(), self.cleaned_data["targets"]
        sources = {
            name: min(copies, key=lambda copy: not copy.host.is_online) for name, copies in wanted.items()
        }
        return [
            job
            for name, copy in sources.items()
            for job in push_start(by=by, copies=[copy], reference=name, batch=batch)
        ]
