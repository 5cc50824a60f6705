"""What every form of Drydock shares: the look of its fields."""

from typing import Any

from django import forms


class StyledForm(forms.Form):
    """Gives each widget the class its look needs; `components/_field.html` draws the rest."""

    required_css_class = "required"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            _style(field.widget)


def _style(widget: forms.Widget) -> None:
    if isinstance(widget, forms.CheckboxInput | forms.CheckboxSelectMultiple | forms.RadioSelect):
        name = "form-check-input"
    elif isinstance(widget, forms.Select):
        name = "form-select"
    else:
        name = "form-control"
    widget.attrs.setdefault("class", name)
