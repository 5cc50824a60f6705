"""Pinning an image."""

from datetime import date, datetime, time
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from images import access, pins
from images.forms.base import SearchField, StyledForm, day_field
from images.models import Host, Image, Permission, Pin, User

EVERYWHERE = "all"


class PinForm(StyledForm):
    """Where, why, and until when. Offers only the hosts on which the person may pin."""

    where = forms.ChoiceField(label=_("Where"))
    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Whoever wonders later why this image stays reads this."),
    )
    until = day_field(
        _("Until"), help_text=_("The last day on which the pin holds. Empty: until somebody removes it.")
    )

    def __init__(self, *args: Any, user: User, image: Image, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.image = image
        self.hosts = {str(host.pk): host for host in pins.pin_hosts(user, image)}
        choices = [(key, host.name) for key, host in self.hosts.items()]
        if access.can_everywhere(user, Permission.REMOVE):
            choices.insert(0, (EVERYWHERE, gettext("On every host, now and later")))
        self.fields["where"].choices = choices  # type: ignore[attr-defined]

    @property
    def has_places(self) -> bool:
        return bool(self.fields["where"].choices)  # type: ignore[attr-defined]

    def clean_until(self) -> date | None:
        until: date | None = self.cleaned_data["until"]
        if until and until < timezone.localdate():
            raise forms.ValidationError(_("This day has passed."))
        return until

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if {"where", "reason"} <= cleaned.keys():
            same = Pin.objects.active(timezone.now()).filter(
                image=self.image, host=self.host, reason=cleaned["reason"]
            )
            if same.exists():
                self.add_error("reason", _("The image is pinned there for this reason already."))
        return cleaned

    @property
    def host(self) -> Host | None:
        return self.hosts.get(self.cleaned_data["where"])

    @property
    def ends_at(self) -> datetime | None:
        """The end of the last day, in the zone of this installation."""
        until = self.cleaned_data["until"]
        return timezone.make_aware(datetime.combine(until, time.max)) if until else None


class PinFilterForm(StyledForm):
    """What the list of pins shows."""

    q = SearchField()
    host = forms.ModelChoiceField(
        Host.objects.none(), label=_("Host"), required=False, empty_label=_("All hosts")
    )
    state = forms.ChoiceField(
        label=_("State"), required=False, choices=[("", _("Holding")), ("ended", _("Ended"))]
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["host"].queryset = Host.objects.visible_to(user)  # type: ignore[attr-defined]

    def listed(self, user: User) -> Any:
        """The pins that match; a filter that is not valid is left out."""
        self.is_valid()
        chosen = self.cleaned_data
        ended = chosen.get("state") == "ended"
        return pins.pins_listed(user, text=chosen.get("q", ""), host=chosen.get("host"), ended=ended)
