"""What every form of Drydock shares: the look of its fields."""

import unicodedata
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.http import QueryDict

ROW_DIGITS = 18  # one fewer than the largest number a database can hold: nobody has so many rows


def row_number(text: str) -> int | None:
    """The number of a row as an address or a form says it; None when it can be none.

    A number that is too large makes int() or the database raise, each in its own way.
    """
    return int(text) if text.isdecimal() and len(text) <= ROW_DIGITS else None


def row_numbers(texts: Iterable[str]) -> list[int]:
    """Those of them that can be one."""
    return [number for text in texts if (number := row_number(text)) is not None]


class RowsField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]  # not generic while it runs
    """Rows chosen by their numbers. Django asks the database for them all at once, whatever their size."""

    # Seldom a wrong number, mostly a page that is older than a change: Django's words name the number alone.
    default_error_messages: ClassVar[dict[str, Any]] = {
        "invalid_choice": _(
            "Something of what was chosen was removed or switched off meanwhile, or is not open to you. "
            "Look at what is offered now, and choose again."
        )
    }

    def clean(self, value: Any) -> Any:
        for pk in value or ():
            if row_number(str(pk)) is None:
                message = self.error_messages["invalid_pk_value"]
                raise ValidationError(message, code="invalid_pk_value", params={"pk": str(pk)[:50]})
        return super().clean(value)


JOINERS = "\u200c\u200d"  # several scripts and many pictographs are written with them


def no_hidden_signs(text: str) -> None:
    """Raises ValidationError: with signs that are not seen or that turn the text around, a name looks like another."""
    for sign in text:
        if unicodedata.category(sign) in {"Cc", "Cf"} and sign not in JOINERS:
            message = _("The name has a character that can not be seen (U+%(code)s). Type the name anew.")
            raise ValidationError(message, code="hidden", params={"code": f"{ord(sign):04X}"})


class NameField(forms.CharField):
    """What people call a thing of theirs."""

    default_validators = [no_hidden_signs]

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", _("Name"))
        kwargs.setdefault("max_length", 100)
        super().__init__(**kwargs)


def day_field(label: Any, *, help_text: Any = "") -> forms.DateField:
    """A day that may be left out. Those at the ends of the calendar can not be told in every time zone."""
    return forms.DateField(
        label=label,
        required=False,
        help_text=help_text,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        validators=[MinValueValidator(date(1970, 1, 1)), MaxValueValidator(date(2999, 12, 31))],
    )


class SearchField(forms.CharField):
    """What is searched for. SQLite refuses to compare with very long texts."""

    def __init__(self) -> None:
        widget = forms.TextInput(attrs={"type": "search"})
        super().__init__(label=_("Search"), required=False, max_length=300, widget=widget)


class StyledForm(forms.Form):
    """Gives each widget the class its look needs; `components/_field.html` draws the rest."""

    required_css_class = "required"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            _style(field.widget)


class WholeRowForm(StyledForm):
    """Writes all that it shows: notices when somebody else changed that since it was shown.

    What is stored now is the form's initial. Who was told may save once more.
    """

    version = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shown = [repr(_plain(self.get_initial_for_field(field, name))) for name, field in self.fields.items()]
        self._stored = salted_hmac("images.forms.version", "\n".join(shown)).hexdigest()
        self.initial["version"] = self._stored

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.pop("version", "") not in ("", self._stored):
            data = cast("QueryDict", self.data).copy()
            data["version"] = self._stored
            self.data = data
            message = _(
                "Somebody changed this meanwhile. Look at it in another window: saving once more puts what stands "
                "here in its place."
            )
            self.add_error(None, message)
        return cleaned


def _plain(value: Any) -> Any:
    """Rows by their numbers, in one order."""
    if isinstance(value, QuerySet | list | tuple):
        return sorted(str(getattr(each, "pk", each)) for each in value)
    return value


def _style(widget: forms.Widget) -> None:
    if isinstance(widget, forms.CheckboxInput | forms.CheckboxSelectMultiple | forms.RadioSelect):
        name = "form-check-input"
    elif isinstance(widget, forms.Select):
        name = "form-select"
    else:
        name = "form-control"
    widget.attrs.setdefault("class", name)
