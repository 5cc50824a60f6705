"""What every template may use: icons, sizes, times."""

from datetime import datetime
from functools import cache
from typing import Any

from django import template
from django.contrib.staticfiles import finders
from django.utils import timezone
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from images.promises import Promise

register = template.Library()

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def human_size(size_bytes: int) -> str:
    """Three digits and a decimal unit, as the docker CLI writes sizes: 1.21 GB, 45.3 MB, 812 B."""
    value, unit = float(size_bytes), 0
    while abs(value) >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 or abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{digits}f} {_UNITS[unit]}"


@register.filter
def size(size_bytes: int | None) -> str:
    """The size for a person; the exact number of bytes shows on hover. None is a dash."""
    if size_bytes is None:
        return "–"
    exact = ngettext("%(count)s byte", "%(count)s bytes", size_bytes) % {"count": f"{size_bytes:,}"}
    return format_html('<span class="size" title="{}">{}</span>', exact, human_size(size_bytes))


@register.filter
def plain_size(size_bytes: int | None) -> str:
    """The size as bare text, for attributes and buttons."""
    return "–" if size_bytes is None else human_size(size_bytes)


@register.filter
def promised(promise: Promise | None) -> str:
    """Promised bytes as exactly as they are known: a size, a range, or "up to" one. None is a dash."""
    if promise is None:
        return "–"
    if promise.is_up_to:
        return format_html(_("up to {}"), size(promise.high))
    if promise.is_exact:
        return size(promise.high)
    return format_html(_("{} to {}"), size(promise.low), size(promise.high))


@register.filter
def promised_text(promise: Promise) -> str:
    """The same as bare text, for buttons and titles."""
    high = human_size(promise.high)
    if promise.is_up_to:
        return _("up to %(size)s") % {"size": high}
    if promise.is_exact:
        return high
    return _("%(low)s to %(high)s") % {"low": human_size(promise.low), "high": high}


_STEPS = (
    (365 * 86400, gettext_noop("%(n)d y")), (30 * 86400, gettext_noop("%(n)d mo")), (86400, gettext_noop("%(n)d d")),
    (3600, gettext_noop("%(n)d h")), (60, gettext_noop("%(n)d min")), (1, gettext_noop("%(n)d s")),
)  # fmt: skip


def human_age(seconds: float) -> str:
    """The largest whole unit: "5 min", "3 d", "2 y"."""
    length, text = next((step for step in _STEPS if seconds >= step[0]), _STEPS[-1])
    return _(text) % {"n": seconds // length}


@register.filter
def ago(moment: datetime | None, never: str = "–") -> str:
    """How long ago, or in how long; the moment itself shows on hover. None gives `never`."""
    if moment is None:
        return never
    seconds = (timezone.now() - moment).total_seconds()
    if -1 < seconds < 1:
        text = _("now")
    elif seconds < 0:
        text = _("in %(age)s") % {"age": human_age(-seconds)}
    else:
        text = _("%(age)s ago") % {"age": human_age(seconds)}
    # Digits alone: Python writes them ten times as fast as Django's own date, and a page has two hundred.
    exact = f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S %Z}"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, text)


@register.filter
def duration(seconds: float | None) -> str:
    """A span of time in its two largest units: "2 min 5 s"."""
    if seconds is None:
        return "–"
    whole = int(seconds)
    if whole < 60:
        return _("%(n)d s") % {"n": whole}
    if whole < 3600:
        return _("%(m)d min %(s)d s") % {"m": whole // 60, "s": whole % 60}
    return _("%(h)d h %(m)d min") % {"h": whole // 3600, "m": whole % 3600 // 60}


@register.filter
def code(text: str) -> SafeString:
    """A sentence in which what stands in backticks is shown as code."""
    # Every second part stood between backticks; one without a partner is none.
    parts = str(text).split("`")
    if len(parts) % 2 == 0:
        return conditional_escape(text)
    pairs = ((format_html("<code>{}</code>", part) if n % 2 else part,) for n, part in enumerate(parts))
    return format_html_join("", "{}", pairs)


@cache
def _svg(name: str) -> str:
    path = finders.find(f"icons/{name}.svg")
    if not path:
        raise LookupError(f"No icon {name!r}: add it to ICONS in config/assets.py and run `make assets`.")
    with open(str(path)) as file:  # noqa: PTH123 - finders give strings
        return file.read().split("-->")[-1].strip()


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """An outline icon, drawn inline so that it takes the text's colour; hidden from screen readers."""
    svg = _svg(name).replace("<svg", '<svg aria-hidden="true"', 1)
    # The file comes from a pinned package, never from a user.
    return mark_safe(svg.replace('class="', f'class="icon {css} ', 1))  # noqa: S308


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """The page's query string with some keys changed; None removes a key. Begins with "?"."""
    parameters = context["request"].GET.copy()
    for key, value in changes.items():
        if value is None:
            parameters.pop(key, None)
        else:
            parameters[key] = value
    return f"?{parameters.urlencode()}"
