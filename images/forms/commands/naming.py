"""What tagging and pushing ask for: both are about one image that hosts hold already."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import Http404
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from images import access
from images.accounts.prefixes import longest
from images.accounts.registries import full_repository
from images.commands.push import push_start
from images.commands.tag import tag_holders, tag_parts, tag_start
from images.forms.commands.base import CommandForm, ReferenceField, allowed_hosts, command
from images.models import Copy, Job, Permission, Reference, Registry, User
from images.naming import suggestions
from images.references import InvalidReferenceError, parse


class SuggestingInput(forms.TextInput):
    """A text field that offers `suggestions` while one types."""

    suggestions: tuple[str, ...] = ()

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        list_id = f"{(attrs or {}).get('id', name)}_suggestions"
        field = super().render(name, value, {**(attrs or {}), "list": list_id}, renderer)
        options = format_html_join("", '<option value="{}"></option>', ((text,) for text in self.suggestions))
        return format_html('{}<datalist id="{}">{}</datalist>', field, list_id, options)


class OneImageForm(CommandForm):
    """About the image of one copy, on the hosts that hold it and where the person may do this."""

    copy = forms.IntegerField(widget=forms.HiddenInput, min_value=1, max_value=2**62)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, user=user, **kwargs)
        self.subject = self._copy(user)
        self.initial["copy"] = self.subject.pk
        holders = Copy.objects.filter(image=self.subject.image_id).values("host_id")
        hosts = allowed_hosts(user, self.permission).filter(pk__in=holders)
        self.fields["hosts"].queryset = hosts  # type: ignore[attr-defined]
        self.initial.setdefault("hosts", [self.subject.host])

    def _copy(self, user: User) -> Copy:
        """The copy that was sent or that the address names; Http404 and PermissionDenied as everywhere."""
        asked = str((self.data if self.is_bound else self.initial).get("copy", ""))
        if not asked.isdecimal() or len(asked) > 18:
            raise Http404
        return access.access_copy(user, int(asked), self.permission)

    @classmethod
    def initial_of(cls, address: Mapping[str, Any], user: User) -> dict[str, Any]:
        return {name: value for name, value in address.items() if name in ("copy", "reference")}

    def copies(self) -> QuerySet[Copy]:
        """One for each host that was chosen: the copy in question, else the host's own copy of that image."""
        chosen = self.cleaned_data["hosts"]
        held = Copy.objects.filter(image=self.subject.image_id, host__in=chosen).select_related("host")
        first: dict[int, int] = {}
        for copy in held.order_by("pk"):
            if copy.host_id not in first or copy.pk == self.subject.pk:
                first[copy.host_id] = copy.pk
        return held.filter(pk__in=first.values()).order_by("host__name")


@command
class TagForm(OneImageForm):
    kind = "tag"
    title = _("Tag an image")
    submit = _("Tag")
    permission = Permission.TAG

    reference = ReferenceField(
        label=_("New name"),
        help_text=_(
            "As registry.example.com/project/service:version. Without a registry it is meant for Docker Hub; "
            "without a version the tag is latest."
        ),
    )
    # Its value says what is confirmed: another name or another host needs to be confirmed anew.
    take_over = forms.CharField(
        label=_("Take the name from there"), required=False, max_length=1000, widget=forms.HiddenInput
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, user=user, **kwargs)
        widget = SuggestingInput(attrs=self.fields["reference"].widget.attrs)
        widget.suggestions = suggestions(user, self.subject)
        self.fields["reference"].widget = widget

    def clean_reference(self) -> str:
        reference: str = self.cleaned_data["reference"]
        if parse(reference).digest:
            raise forms.ValidationError(_("A digest can not be given to an image: it follows from it."))
        return reference

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if data.get("reference") and data.get("hosts"):
            others = [
                copy
                for copy in tag_holders(data["hosts"], data["reference"])
                if copy.image_id != self.subject.image_id
            ]
            if others:
                self._ask_whether(others, data)
        return data

    def _ask_whether(self, others: list[Copy], data: dict[str, Any]) -> None:
        """The form comes back with a box to tick, unless just this was ticked."""
        confirmed = ":".join(tag_parts(data["reference"])) + " " + ",".join(str(copy.pk) for copy in others)
        field = self.fields["take_over"]
        field.widget = forms.CheckboxInput(attrs={"value": confirmed, "class": "form-check-input"})
        if data.get("take_over") == confirmed:
            return
        sent: Any = self.data.copy()  # type: ignore[attr-defined]
        sent.pop("take_over", None)
        self.data = sent
        held = "; ".join(f"{copy.host}: {copy.short_id}" for copy in others)
        self.add_error(
            "take_over",
            gettext("This name belongs to another image, which would lose it: %(held)s.") % {"held": held},
        )

    def start(self, by: User) -> list[Job]:
        data = self.cleaned_data
        return tag_start(
            by=by, copies=self.copies(), reference=data["reference"], take_over=bool(data["take_over"])
        )


@command
class PushForm(OneImageForm):
    kind = "push"
    title = _("Push an image")
    submit = _("Push")
    permission = Permission.PUSH

    reference = forms.ChoiceField(
        label=_("Which name"),
        widget=forms.RadioSelect,
        help_text=_("The name says to which registry it goes. For another registry, tag the image first."),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, user=user, **kwargs)
        hosts = self.fields["hosts"].queryset  # type: ignore[attr-defined]
        named = Reference.objects.filter(copy__image=self.subject.image_id, host__in=hosts).exclude(tag="")
        names = [name for name in sorted(set(named.values_list("name", flat=True))) if is_reference(name)]
        accounts = list(Registry.objects.only("name", "prefix", "username"))
        choices = [(name, described(name, accounts)) for name in names]
        self.fields["reference"].choices = choices  # type: ignore[attr-defined]
        own = [name for name in names if self.subject.references.filter(name=name).exists()]
        if own:
            self.initial.setdefault("reference", max(own, key=lambda name: _is_meant(name, accounts)))

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if data.get("reference") and data.get("hosts"):
            held = Reference.objects.filter(name=data["reference"], copy__image=self.subject.image_id)
            having = set(held.values_list("host_id", flat=True))
            lacking = ", ".join(host.name for host in data["hosts"] if host.pk not in having)
            if lacking:
                self.add_error(
                    "hosts", gettext("There it does not have this name: %(hosts)s.") % {"hosts": lacking}
                )
        return data

    def copies(self) -> QuerySet[Copy]:
        """The copies that have the name: a host may hold the image twice."""
        reference, hosts = self.cleaned_data["reference"], self.cleaned_data["hosts"]
        named = Reference.objects.filter(name=reference, host__in=hosts).values("copy_id")
        held = Copy.objects.filter(pk__in=named, image=self.subject.image_id)
        return held.select_related("host").order_by("host__name")

    def start(self, by: User) -> list[Job]:
        return push_start(by=by, copies=self.copies(), reference=self.cleaned_data["reference"])


def is_reference(name: str) -> bool:
    """Engines may hold names that no registry would take."""
    try:
        parse(name)
    except InvalidReferenceError:
        return False
    return True


def described(name: str, accounts: list[Registry]) -> str:
    """The name with the account it would be pushed with."""
    used = longest(accounts, full_repository(name))
    if used and used.username:
        return gettext("%(name)s, with the account %(account)s") % {"name": name, "account": used.name}
    return gettext("%(name)s, without an account") % {"name": name}


def _is_meant(name: str, accounts: list[Registry]) -> tuple[bool, bool]:
    """What is probably meant: a name with an account, else one with a registry of its own."""
    return bool(longest(accounts, full_repository(name))), parse(name).registry != "docker.io"
