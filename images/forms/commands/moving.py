"""What saving, copying and loading images ask for."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from images import access
from images.commands.copy import copy_start
from images.commands.load import load_start
from images.commands.save import save_start
from images.errors import Text
from images.fleet.selection import selection_of
from images.forms.commands.base import BudgetForm, CommandForm, allowed_hosts, command
from images.forms.fleet import all_that_match
from images.models import Copy, Job, Permission, User
from images.templatetags.drydock import human_size
from images.transfers.moving import MOST_COPIES, archive_bytes

NAMED = 8  # so many of the chosen copies are named; the rest is a number


class CopiesForm(CommandForm):
    """The base of what is done with chosen copies; `source` is the permission it takes on their hosts."""

    source: Permission = Permission.PUSH
    refused: Text = _(
        "These hosts are switched off, or taking images off them needs the permission to push there. Ask an admin."
    )

    copies = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, user=user, **kwargs)
        said = self.data.get("copies") if self.is_bound else self.initial.get("copies")
        self.chosen = _copies(user, str(said or ""))
        self.allowed = [copy for copy in self.chosen if self.may_use(copy)]

    def may_use(self, copy: Copy) -> bool:
        return copy.host.is_enabled and access.can(self.user, self.source, copy.host_id)

    @classmethod
    def initial_of(cls, address: Mapping[str, Any], user: User) -> dict[str, Any]:
        """`?copies=3,4` or `?copy=3`, or `?all=1&query=...` for all that match the fleet's address.

        Raises UserError filter_invalid.
        """
        initial = super().initial_of(address, user)
        if address.get("all"):
            query = all_that_match(user, str(address.get("query", "")))
            found = [copy.pk for copy in selection_of(user, [], query).copies]
            return initial | {"copies": ",".join(map(str, found))}
        return initial | {"copies": address.get("copies") or address.get("copy") or ""}

    @property
    def points(self) -> Sequence[str]:
        """What is chosen, and what of it is left out."""
        points = [
            gettext("%(name)s on %(host)s") % {"name": c.name, "host": c.host} for c in self.allowed[:NAMED]
        ]
        if (more := len(self.allowed) - NAMED) > 0:
            points.append(ngettext("and %(n)s more", "and %(n)s more", more) % {"n": more})
        if off := sum(not copy.host.is_enabled for copy in self.chosen):
            text = ngettext(
                "%(n)s copy is left out: its host is switched off.",
                "%(n)s copies are left out: their hosts are switched off.",
                off,
            )
            points.append(text % {"n": off})
        if left := len(self.chosen) - len(self.allowed) - off:
            text = ngettext(
                "%(n)s copy is left out: taking content off its host needs the permission to push there.",
                "%(n)s copies are left out: taking content off their hosts needs the permission to push there.",
                left,
            )
            points.append(text % {"n": left})
        return points

    @property
    def text(self) -> str:
        by_host: dict[int, list[Copy]] = {}
        for copy in self.allowed:
            by_host.setdefault(copy.host_id, []).append(copy)
        total = sum(archive_bytes(copies) for copies in by_host.values())
        return gettext("About %(size)s.") % {"size": human_size(total)} if total else ""

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.chosen:
            raise ValidationError(gettext("None of these images is there any more. Reload the list."))
        if not self.allowed:
            raise ValidationError(str(self.refused))
        return data


def _copies(user: User, text: str) -> list[Copy]:
    """The visible ones; one more than are moved in one go, so that the service says that they are too many."""
    ids = [int(part) for part in text.split(",") if part.isascii() and part.isdecimal() and len(part) < 19]
    rows = Copy.objects.visible_to(user).filter(pk__in=ids[: MOST_COPIES + 1])
    rows = rows.select_related("host", "image").prefetch_related("references").defer("search_text")
    return list(rows.order_by("host__name", "repository", "tag", "pk"))


@command
class SaveForm(CopiesForm):
    kind = "save"
    title = _("Save images as a file")
    submit = _("Save…")
    permission = Permission.PUSH

    hosts = None  # type: ignore[assignment]  # those of the copies
    gzip = forms.BooleanField(
        label=_("Pack it with gzip"), required=False,
        help_text=_("Smaller, and slower: one processor core packs some 50 MB a second."),
    )  # fmt: skip

    def start(self, by: User) -> list[Job]:
        copies = self._of_one_host() or self.allowed
        return [save_start(by=by, copies=copies, gzip=self.cleaned_data["gzip"])]

    def _of_one_host(self) -> list[Copy]:
        """The same images on one host that has all of them, the one with most of the chosen copies; else none."""
        wanted = {copy.image_id for copy in self.allowed}
        by_host: dict[int, dict[int, Copy]] = {}
        for copy in [*self.allowed, *self._elsewhere(wanted)]:
            by_host.setdefault(copy.host_id, {}).setdefault(copy.image_id, copy)
        chosen = Counter(copy.host_id for copy in self.allowed)
        whole = [host for host, found in by_host.items() if set(found) == wanted]
        best = max(whole, key=lambda host: (chosen[host], -host), default=None)
        return list(by_host[best].values()) if best else []

    def _elsewhere(self, images: set[int]) -> list[Copy]:
        """Copies of these images on all hosts from which the person may take them."""
        if len({copy.host_id for copy in self.allowed}) < 2:
            return []
        held = Copy.objects.visible_to(self.user, self.source).filter(image__in=images, host__is_enabled=True)
        return list(held.select_related("host", "image").prefetch_related("references").defer("search_text"))


@command
class CopyForm(CopiesForm, BudgetForm):
    kind = "copy"
    title = _("Copy images to other hosts")
    submit = _("Copy")
    permission = Permission.PULL

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, user=user, **kwargs)
        hosts = allowed_hosts(user, Permission.PULL)
        sources = {copy.host_id for copy in self.allowed}
        if len(sources) == 1:
            hosts = hosts.exclude(pk__in=sources)
        self.fields["hosts"].queryset = hosts  # type: ignore[attr-defined]
        self.fields["hosts"].label = _("To these hosts")
        self.initial.pop("hosts", None)
        if not self.is_bound and hosts.count() == 1:
            self.initial["hosts"] = list(hosts)

    def start(self, by: User) -> list[Job]:
        data = self.cleaned_data
        return copy_start(
            by=by, copies=self.allowed, hosts=data["hosts"], above_budget=data.get("above_budget", False)
        )


class LoadForm(BudgetForm):
    """Where an upload goes; the file itself comes later, by PUT, and never into a form."""

    kind = "load"
    title = _("Load images from a file")
    submit = _("Upload")
    permission = Permission.PULL

    file = forms.CharField(widget=forms.HiddenInput, max_length=255, required=False)
    size = forms.IntegerField(widget=forms.HiddenInput, min_value=0, max_value=2**53, required=False)

    @property
    def has_hosts(self) -> bool:
        return allowed_hosts(self.user, self.permission).exists()

    def start(self, by: User) -> list[Job]:
        data = self.cleaned_data
        return load_start(
            by=by, hosts=data["hosts"], file=data["file"] or "images.tar", size_bytes=data["size"] or 0,
            above_budget=data.get("above_budget", False),
        )  # fmt: skip
