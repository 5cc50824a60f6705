"""The filters of the fleet list: the address of the page is their whole state."""

from collections.abc import Collection
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from images import access
from images.errors import UserError
from images.fleet.listing import SORTS
from images.fleet.query import FleetQuery
from images.fleet.reference_filter import MOST_STARS, InvalidPatternError, images_named, pattern_expression
from images.forms.base import StyledForm
from images.models import Host, HostGroup, Permission, User

MEGABYTE = 1_000_000


def _number(label: Any, **limits: int) -> forms.IntegerField:
    return forms.IntegerField(label=label, required=False, min_value=limits.get("least", 0), max_value=10**9)


# An address that somebody shared names what is gone by now, or what only its sender may see.
_GONE = {"invalid_choice": _("It was removed, or is not open to you.")}


class FleetForm(StyledForm):
    """Every part may be left out; a wrong one says so beside its field and is ignored."""

    q = forms.CharField(
        label=_("Search"),
        required=False,
        max_length=300,
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": _("Name, tag, ID, digest, label"), "autocomplete": "off"}
        ),
    )
    host = forms.ModelChoiceField(
        Host.objects.none(), label=_("Host"), required=False, empty_label=_("All hosts"),
        error_messages=_GONE,
    )  # fmt: skip
    group = forms.ModelChoiceField(
        HostGroup.objects.none(), label=_("Host group"), required=False, empty_label=_("All groups"),
        error_messages=_GONE,
    )  # fmt: skip
    use = forms.ChoiceField(
        label=_("Use"),
        required=False,
        choices=[
            ("", _("Any")),
            ("used", _("In use")),
            ("unused", _("Unused")),
            ("dangling", _("Dangling")),
            ("tagged", _("Not dangling")),
        ],
    )
    by = forms.ChoiceField(
        label=_("Group by"),
        required=False,
        choices=[("", _("Nothing")), ("repository", _("Repository")), ("image", _("Image"))],
    )
    repository = forms.CharField(label=_("Repository"), required=False, max_length=255)
    registry = forms.CharField(label=_("Registry"), required=False, max_length=255)
    reference = forms.CharField(
        label=_("Name pattern"), required=False, max_length=255,
        widget=forms.TextInput(attrs={"placeholder": "acme/*:1.?"}),
    )  # fmt: skip
    label = forms.CharField(label=_("Label, or label=value"), required=False, max_length=255)
    before = forms.CharField(label=_("Built before this image"), required=False, max_length=450)
    since = forms.CharField(label=_("Built after this image"), required=False, max_length=450)
    latest = forms.ChoiceField(
        label=_("Tag “latest”"),
        required=False,
        choices=[("", _("Any")), ("yes", _("Has it")), ("no", _("Has it not"))],
    )
    older = _number(_("Built more than … days ago"))
    newer = _number(_("Built in the last … days"), least=1)
    larger = _number(_("Larger than … MB"))
    smaller = _number(_("Smaller than … MB"), least=1)
    idle = _number(_("Not used for … days"), least=1)
    intermediate = forms.BooleanField(label=_("Intermediate images too"), required=False)
    behind = forms.BooleanField(label=_("Newer in registry"), required=False)
    digests = forms.BooleanField(label=_("Show digests"), required=False)
    # Not drawn as fields: the page has links for these.
    image = forms.IntegerField(required=False, min_value=1, max_value=2**62, widget=forms.HiddenInput)
    sort = forms.CharField(required=False, max_length=30, widget=forms.HiddenInput)
    page = forms.IntegerField(required=False, min_value=1, max_value=10**6, widget=forms.HiddenInput)

    MAIN = ("q", "host", "group", "use", "by")
    ARRANGING = frozenset({"by", "sort", "page"})  # these choose no copies
    MORE = (
        "repository", "registry", "reference", "label", "before", "since", "latest", "older", "newer", "larger",
        "smaller", "idle",
    )  # fmt: skip

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        hosts = Host.objects.visible_to(user)
        groups = access.groups_for(user, Permission.VIEW)
        self.fields["host"].queryset = hosts.only("pk", "name")  # type: ignore[attr-defined]
        self.fields["group"].queryset = groups  # type: ignore[attr-defined]

    def clean_sort(self) -> str:
        sort: str = self.cleaned_data["sort"]
        if sort and sort.removeprefix("-") not in SORTS:
            raise forms.ValidationError(_("There is no such order; the newest come first."))
        return sort

    def clean_reference(self) -> str:
        pattern: str = self.cleaned_data["reference"]
        try:
            pattern_expression(pattern)
        except InvalidPatternError as error:
            text = gettext(
                "This is no pattern: a bracket is not closed, or it has more than %(most)s stars. A star stands "
                "for anything but a slash."
            )
            raise ValidationError(text % {"most": MOST_STARS}) from error
        return pattern

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        for name in ("before", "since"):
            if data.get(name):
                try:
                    data[name] = self._built_at(data[name], data.get("host"))
                except ValidationError as error:
                    self.add_error(name, error)
        return data

    def _built_at(self, text: str, host: Host | None) -> Any:
        """When the image was built that somebody names. Raises ValidationError when that can not be said."""
        images = images_named(self.user, text, host.pk if host else None)
        if not images:
            raise ValidationError(gettext("There is no image “%(name)s” here.") % {"name": text})
        if len({image.built_at for image in images}) > 1:
            raise ValidationError(
                gettext("“%(name)s” names several images; choose a host, or give an ID.") % {"name": text}
            )
        if images[0].built_at is None:
            raise ValidationError(gettext("When “%(name)s” was built is not known.") % {"name": text})
        return images[0].built_at

    def query(self) -> FleetQuery:
        """What is asked for; parts that are not valid are left out."""
        self.is_valid()
        data = {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}
        sort = data.pop("sort", "-arrived")
        for name in ("larger", "smaller"):
            if name in data:
                data[name] *= MEGABYTE
        for name in ("host", "group"):
            if name in data:
                data[name] = data[name].pk
        if "latest" in data:
            data["latest"] = data["latest"] == "yes"
        return FleetQuery(sort=sort.removeprefix("-"), is_descending=sort.startswith("-"), **data)

    def strict_query(self) -> FleetQuery:
        """For what acts on all that match: without a filter that nobody understood, more would match than was meant.

        Raises UserError filter_invalid.
        """
        query = self.query()
        if wrong := self._wrong(but=self.ARRANGING):
            raise UserError("filter_invalid", errors=" ".join(wrong))
        return query

    @property
    def problems(self) -> list[str]:
        """The errors of all fields: one beside its field is easily overlooked above a list that shows too much."""
        return self._wrong(but=())

    def _wrong(self, *, but: Collection[str]) -> list[str]:
        return [
            f"{label}: {error}" if (label := self.fields[name].label) else str(error)
            for name, errors in self.errors.items() if name not in but
            for error in errors
        ]  # fmt: skip

    def main_fields(self) -> list[Any]:
        return [self[name] for name in self.MAIN]

    def more_fields(self) -> list[Any]:
        return [self[name] for name in self.MORE]

    @property
    def has_more(self) -> bool:
        """Whether one of the folded filters is set, so that they are shown unfolded."""
        return any(self.data.get(name) for name in (*self.MORE, "intermediate", "behind", "digests"))


def all_that_match(user: User, address: str) -> FleetQuery:
    """The query behind the list's address ("?q=acme&host=3"). Raises UserError filter_invalid."""
    return FleetForm(QueryDict(address.removeprefix("?")), user=user).strict_query()


class ListMadeForm(StyledForm):
    """What a list that is open says of itself."""

    made_at = forms.DateTimeField()
