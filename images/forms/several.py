"""Pushing and pulling what was chosen in the list, several images in one go."""

import uuid
from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from images.commands.pull import pull_start
from images.commands.push import push_start
from images.forms.commands import BudgetForm, command
from images.forms.moving import CopiesForm
from images.forms.naming import is_reference
from images.models import Copy, Host, Job, Permission, Registry, User
from images.moving import MOST_COPIES
from images.references import parse
from images.registries import full_repository, longest

SHOWN = 8  # so many names are shown; the rest is a number

Names = dict[str, list[Copy]]
"""The copies that have a name, by name."""


class NamesForm(CopiesForm):
    """The base: about every tag of the chosen copies, on the hosts they are on."""

    hosts = None  # type: ignore[assignment]
    text: Any = ""
    refused = _("You have no permission for this on their hosts. Ask an admin for it.")

    @property
    def names(self) -> Names:
        found: Names = {}
        for copy in self.allowed:
            for reference in copy.references.all():
                if reference.tag and is_reference(reference.name):
                    found.setdefault(reference.name, []).append(copy)
        return dict(sorted(found.items()))

    @property
    def points(self) -> Sequence[str]:
        names = list(self.names)
        points = names[:SHOWN]
        if (more := len(names) - SHOWN) > 0:
            points.append(ngettext("and %(n)s more", "and %(n)s more", more) % {"n": more})
        untagged = sum(not copy.tag for copy in self.allowed)
        for count, text in (
            (
                untagged,
                ngettext("%(n)s without a tag is left out.", "%(n)s without a tag are left out.", untagged),
            ),
            (
                denied := len(self.chosen) - len(self.allowed),
                ngettext(
                    "%(n)s is left out: you have no permission for this on its host.",
                    "%(n)s are left out: you have no permission for this on their hosts.",
                    denied,
                ),
            ),
        ):
            if count:
                points.append(text % {"n": count})
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
        accounts = list(Registry.objects.only("name", "prefix", "username"))
        self.by_target: dict[str, Names] = {}
        choices: dict[str, str] = {}
        for name, copies in self.names.items():
            registry, account = parse(name).registry, longest(accounts, full_repository(name))
            target = f"{account.pk if account else 0}@{registry}"
            self.by_target.setdefault(target, {})[name] = copies
            choices[target] = account.name if account else registry
        self.fields["targets"].choices = [  # type: ignore[attr-defined]
            (target, described(choices[target], len(names), has_account=not target.startswith("0@")))
            for target, names in self.by_target.items()
        ]
        self.initial.setdefault("targets", [target for target in choices if not target.startswith("0@")])

    @property
    def wanted(self) -> Names:
        return {
            name: held
            for target in self.cleaned_data["targets"]
            for name, held in self.by_target[target].items()
        }

    def clean_targets(self) -> list[str]:
        targets: list[str] = self.cleaned_data["targets"]
        for target in targets:
            for name, copies in self.by_target[target].items():
                # The last one would win, and which that is nobody could tell.
                if len({copy.image_id for copy in copies}) > 1:
                    hosts = ", ".join(str(copy.host) for copy in copies)
                    raise ValidationError(
                        gettext("%(name)s is not the same image on %(hosts)s. Select one of them.")
                        % {"name": name, "hosts": hosts}
                    )
        return targets

    def start(self, by: User) -> list[Job]:
        """An image that several hosts have goes from one of them."""
        batch = uuid.uuid4()
        return [
            job
            for name, copies in self.wanted.items()
            for job in push_start(by=by, copies=copies[:1], reference=name, batch=batch)
        ]


def hosts_of(copies: list[Copy]) -> list[Host]:
    """Each once: a host may hold an image twice."""
    return list({copy.host_id: copy.host for copy in copies}.values())


def described(registry: str, count: int, *, has_account: bool) -> str:
    if has_account:
        text = ngettext(
            "%(registry)s, with its account: %(n)s name", "%(registry)s, with its account: %(n)s names", count
        )
    else:
        text = ngettext(
            "%(registry)s, without an account: %(n)s name",
            "%(registry)s, without an account: %(n)s names",
            count,
        )
    return text % {"registry": registry, "n": count}
