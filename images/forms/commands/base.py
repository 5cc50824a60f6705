"""What the forms of commands have in common, and the table that they enter themselves into."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from images.errors import Text
from images.forms.base import RowsField, StyledForm, row_numbers
from images.models import Host, Job, Permission, User
from images.references import InvalidReferenceError, parse

COMMANDS: dict[str, type["CommandForm"]] = {}


def command(form: type["CommandForm"]) -> type["CommandForm"]:
    """Makes the form the one behind `/commands/<kind>/`."""
    COMMANDS[form.kind] = form
    return form


class CommandForm(StyledForm):
    """The base: on which hosts. A subclass adds its fields and `start`."""

    kind: ClassVar[str]
    title: ClassVar[Text]
    submit: ClassVar[Text]
    permission: ClassVar[Permission]
    # What the dialog says above the fields.
    text: Any = ""
    points: Any = ()

    hosts = RowsField(
        label=_("On these hosts"), queryset=Host.objects.none(), widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        # Its dialog lies over pages whose own forms may have fields of the same names.
        super().__init__(*args, auto_id="id_command_%s", **kwargs)
        self.user = user
        self.order_fields([name for name in self.fields if name != "hosts"])
        if "hosts" in self.fields:
            hosts = allowed_hosts(user, self.permission)
            self.fields["hosts"].queryset = hosts  # type: ignore[attr-defined]
            if not self.is_bound and hosts.count() == 1:
                self.initial.setdefault("hosts", list(hosts))

    @classmethod
    def initial_of(cls, address: Mapping[str, Any], user: User) -> dict[str, Any]:
        """What the address that opened the form says: `?host=3&reference=redis:7`, or `?host=3,4`."""
        initial: dict[str, Any] = {name: value for name, value in address.items() if name in cls.base_fields}
        if hosts := row_numbers(str(address.get("host", "")).split(",")):
            initial["hosts"] = list(allowed_hosts(user, cls.permission).filter(pk__in=hosts))
        return initial

    def start(self, by: User) -> list[Job]:
        """Starts what was asked for. Raises UserError. Called with valid data only."""
        raise NotImplementedError


def allowed_hosts(user: User, permission: Permission) -> QuerySet[Host]:
    return Host.objects.visible_to(user, permission).filter(is_enabled=True).order_by("name")


class ReferenceField(forms.CharField):
    """An image reference by distribution's grammar; what is wrong with it is said beside the field."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"spellcheck": "false", "autocomplete": "off", "autocapitalize": "none"}
        kwargs.setdefault("widget", forms.TextInput(attrs=attrs))
        super().__init__(max_length=400, **kwargs)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if text:
            try:
                parse(text)
            except InvalidReferenceError as error:
                raise ValidationError(
                    gettext(
                        "This is not an image reference. Write it as registry/name:tag, "
                        "such as redis:7.4 or ghcr.io/acme/api:1.4; repositories are in lower case."
                    ),
                    code="invalid",
                ) from error
        return text


class BudgetForm(CommandForm):
    """The base of what brings images to hosts; the box is there where one of them has a budget."""

    above_budget = forms.BooleanField(label=_("Even above the image budget"), required=False)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, user=user, **kwargs)
        if not allowed_hosts(user, self.permission).exclude(image_budget_bytes=None).exists():
            del self.fields["above_budget"]
        else:
            self.order_fields([name for name in self.fields if name != "above_budget"])
