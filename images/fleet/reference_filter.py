"""The filters of `docker image ls` that look at names and labels: as that command means them, in the database."""

import json
import re
from collections.abc import Collection

from django.db import connection
from django.db.models import Q, QuerySet, TextField
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Cast

from images.models import Copy, Image, Reference, User

MOST_STARS = 5
"""Each star multiplies what a search has to try; nobody needs more."""

_META = re.compile(r"[*?\[\\]")


class InvalidPatternError(ValueError):
    """The pattern is none: a bracket without its end, an escape of nothing, or more than MOST_STARS stars."""


def references_matching(pattern: str) -> QuerySet[Reference]:
    """`reference=`: Go's path.Match on `name:tag` or on the name alone, so that no star crosses a slash.

    Raises InvalidPatternError.
    """
    expression = pattern_expression(pattern)
    found = Reference.objects.filter(Q(name__regex=expression) | Q(repository__regex=expression))
    if prefix := _repository_prefix(pattern):
        # The index on repositories knows the beginning; the expression looks at what is left.
        found = found.filter(repository__gte=prefix, repository__lt=prefix + "\U0010ffff")
    return found.order_by()


def _repository_prefix(pattern: str) -> str:
    """What every repository that matches begins with. A colon may begin the tag, or belong to a port."""
    literal = _META.split(pattern, maxsplit=1)[0]
    head, slash, last = literal.rpartition("/")
    return head + slash + last.partition(":")[0].partition("@")[0]


def pattern_expression(pattern: str) -> str:
    """The regular expression of a pattern, for both databases. Raises InvalidPatternError."""
    pattern = re.sub(r"\*+", "*", pattern)
    if pattern.count("*") > MOST_STARS:
        raise InvalidPatternError(pattern)
    parts, at = [], 0
    while at < len(pattern):
        part, at = _part(pattern, at)
        parts.append(part)
    return f"^{''.join(parts)}$"


def _part(pattern: str, at: int) -> tuple[str, int]:
    """The expression of what stands there, and where the next begins."""
    sign = pattern[at]
    if sign in "*?":
        return ("[^/]*" if sign == "*" else "[^/]"), at + 1
    if sign == "[":
        return _class(pattern, at)
    if sign == "\\":
        at += 1
        if at == len(pattern):
            raise InvalidPatternError(pattern)
    return re.escape(pattern[at]), at + 1


def _class(pattern: str, at: int) -> tuple[str, int]:
    end = pattern.find("]", at + 2)
    inside = pattern[at + 1 : end]
    if end < 0 or not re.fullmatch(r"\^?(?:[\w.:@/-])+", inside, re.ASCII):
        raise InvalidPatternError(pattern)
    if any(first > last for first, last in re.findall(r"(?=([\w.:@/])-([\w.:@/]))", inside.lstrip("^"))):
        raise InvalidPatternError(pattern)
    return f"[{inside}]", end + 1


def images_labelled(label: str) -> QuerySet[Image]:
    """`label=key` or `label=key=value`, by the letter."""
    key, equals, value = label.partition("=")
    if not equals:
        return Image.objects.filter(labels__has_key=key).order_by()
    return Image.objects.alias(told=KeyTransform(key, "labels")).filter(told=value).order_by()


def images_told(words: Collection[str]) -> QuerySet[Image]:
    """Those with one of these words, exactly so, anywhere in their labels."""
    told = Q()
    for word in words:
        # As JSON is stored: PostgreSQL keeps letters of any script, SQLite holds all but ASCII escaped.
        told |= Q(text__contains=json.dumps(word, ensure_ascii=connection.vendor == "sqlite")[1:-1])
    return Image.objects.alias(text=Cast("labels", TextField())).filter(told).order_by()


def images_named(user: User, text: str, host: int | None = None) -> list[Image]:
    """What an image is called on the hosts the user sees: a reference (no tag means latest) or the begin of an ID.

    Two at most: more than one already leaves open which is meant.
    """
    copies = Copy.objects.visible_to(user)
    if host is not None:
        copies = copies.filter(host=host)
    names = [text] if ":" in text.rpartition("/")[2] or "@" in text else [text, f"{text}:latest"]
    found = copies.filter(references__name__in=names)
    digits = text.removeprefix("sha256:").lower()
    if re.fullmatch(r"[0-9a-f]{4,64}", digits):
        begin = f"sha256:{digits}"
        found = found | copies.filter(engine_id__gte=begin, engine_id__lt=f"{begin}g")
    return list(Image.objects.filter(pk__in=found.values("image_id"))[:2])
