"""Links of the fleet list: each is the page's address with one thing changed."""

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from images.templatetags.drydock import icon

register = template.Library()

_NAMES_FIRST = {"name", "host"}


def _address(context: dict[str, Any], **changes: Any) -> str:
    parameters = context["request"].GET.copy()
    for key, value in changes.items():
        parameters.pop(key, None)
        if value is not None:
            parameters[key] = value
    # An empty field of the form says nothing.
    for key in [key for key, value in parameters.items() if value == ""]:
        if key not in changes:
            del parameters[key]
    return f"?{parameters.urlencode()}"


@register.simple_tag(takes_context=True)
def sort_header(context: dict[str, Any], key: str, label: str, css: str = "") -> SafeString:
    """A column's head that sorts by it: names from A, figures and dates from the largest; again turns it round."""
    query = context["query"]
    is_current = query.sort == key
    descends = not query.is_descending if is_current else key not in _NAMES_FIRST
    url = _address(context, sort=("-" if descends else "") + key, page=None)
    order = ("descending" if query.is_descending else "ascending") if is_current else "none"
    arrow = icon("arrow-down" if query.is_descending else "arrow-up") if is_current else ""
    return format_html(
        '<th scope="col" class="{}" aria-sort="{}"><a href="{}" hx-get="{}" hx-target="#fleet" hx-swap="outerHTML"'
        ' hx-push-url="true" title="{}">{}{}</a></th>',
        css, order, url, url, _("Sort by this column"), label, arrow,
    )  # fmt: skip


@register.simple_tag(takes_context=True)
def group_query(context: dict[str, Any], key: str) -> str:
    """The copies of one group: the same filters without the grouping. No name means dangling."""
    name = context["query"].by
    if name == "repository" and not key:
        return _address(context, by=None, page=None, sort=None, use="dangling")
    return _address(context, by=None, page=None, sort=None, **{name: key})
