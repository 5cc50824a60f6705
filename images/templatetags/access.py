"""What the signed-in person may do, for showing or hiding a control; the views decide, not these."""

from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from images import access
from images.models import Host, User
from images.templatetags.drydock import icon

register = template.Library()


@register.filter
def can_everywhere(user: User, permission: str) -> bool:
    return access.can_everywhere(user, permission)


@register.filter
def can_anywhere(user: User, permission: str) -> bool:
    return access.can_anywhere(user, permission)


@register.filter
def may_see_registries(user: User) -> bool:
    return access.may_see_registries(user)


@register.simple_tag(takes_context=True)
def can(context: dict[str, Any], permission: str, host: Host | int) -> bool:
    """`{% can "remove" host as may_remove %}`"""
    return access.can(context["request"].user, permission, host)


@register.simple_tag(takes_context=True)
def can_now(context: dict[str, Any], permission: str, host: Host) -> bool:
    """The same for a command to the host's engine: nothing is sent to a host that is switched off."""
    return host.is_enabled and access.can(context["request"].user, permission, host)


@register.simple_tag(takes_context=True)
def visible_host(context: dict[str, Any], pk: int | None) -> Host | None:
    """The host with this id, for who may see it; None for anybody else."""
    return Host.objects.visible_to(context["request"].user).filter(pk=pk).first() if pk else None


@register.simple_tag(takes_context=True)
def nav_item(context: dict[str, Any], url_name: str, icon_name: str, text: str) -> SafeString:
    """An entry of the main menu; current on its page and on the pages below it."""
    url = reverse(url_name)
    current = SafeString(' aria-current="page"' if context["request"].path.startswith(url) else "")
    return format_html('<li><a href="{}"{}>{} {}</a></li>', url, current, icon(icon_name), text)
