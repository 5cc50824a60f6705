"""What the words of one kind of error are."""

from dataclasses import dataclass

from django.utils.functional import Promise

Text = str | Promise


@dataclass(frozen=True)
class Problem:
    """The sentences of one kind of error; `%(name)s` is filled from the error's values."""

    what: Text
    cause: Text = ""
    remedy: Text = ""
