"""On which other hosts a reference goes as well."""

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from images.models import Copy
from images.removal import Holder


class AlsoOnForm(forms.Form):
    also = forms.MultipleChoiceField(
        label=_("Also on these hosts"), required=False, widget=forms.CheckboxSelectMultiple,
        error_messages={"invalid_choice": _("Something changed there meanwhile. Look at it again.")},
    )  # fmt: skip

    def __init__(self, *args: Any, holders: list[Holder], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._by_mark = {holder.mark: holder for holder in holders}
        field: Any = self.fields["also"]
        field.choices = [(mark, self._label(holder)) for mark, holder in self._by_mark.items()]

    @staticmethod
    def _label(holder: Holder) -> str:
        values = {"host": holder.copy.host.name}
        if holder.is_last:
            return gettext("%(host)s: the last one there, the image goes") % values
        return gettext("%(host)s: untags only, the image stays") % values

    @property
    def copies(self) -> list[Copy]:
        """Those that were ticked, once the form is valid."""
        return [self._by_mark[mark].copy for mark in self.cleaned_data["also"]]
