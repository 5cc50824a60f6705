"""What a job was asked to do, in words, without its secrets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from images.errors import Text
from images.models import Job
from images.secrets import masked

LABELS: dict[str, Text] = {
    "reference": _("Image"),
    "references": _("Images"),
    "repository": _("Repository"),
    "tag": _("Tag"),
    "tags": _("Tags"),
    "platform": _("Platform"),
    "images": _("Images"),
    "names": _("Names"),
    "file": _("File"),
    "compression": _("Compression"),
    "force": _("By force"),
    "context": _("Context"),
    "git_url": _("Git repository"),
    "branch": _("Branch"),
    "folder": _("Folder"),
    "dockerfile": _("Dockerfile"),
    "dockerfile_text": _("Dockerfile"),
    "builder": _("Builder"),
    "build_args": _("Build arguments"),
    "labels": _("Labels"),
    "secret_ids": _("Secrets, by their id; they are forgotten"),
    "stage": _("Target stage"),
    "no_cache": _("Without the cache"),
    "pull": _("Pull the base image anew"),
    "network": _("Network"),
    "take_from": _("Taken from another image"),
    "promised_bytes": _("Promised"),
    "above_budget": _("Even above the image budget"),
}
# What only the operation needs, or what the page shows in another place; "*" stands for every kind.
HIDDEN: dict[str, frozenset[str]] = {
    "*": frozenset({"engine", "upload", "promised_bytes", "promised_low_bytes", "is_up_to", "about_bytes"}),
    "pull": frozenset({"repository", "tag"}),
    "push": frozenset({"repository", "tag", "engine_id"}),
    "tag": frozenset({"repository", "tag", "engine_id"}),
    "save": frozenset({"images"}),
    "load": frozenset({"size_bytes"}),
    "remove": frozenset({"items"}),
    "cleanup": frozenset({"run", "host_run"}),
    # Who sees the host that images went to need not see the one they came from.
    "copy": frozenset({"source", "source_name"}),
    "build": frozenset({"context"}),
}
LONG = 200  # characters; a longer text is folded


@dataclass(frozen=True)
class Asked:
    """One thing that was asked for; `lines` are its values."""

    label: str
    lines: tuple[str, ...]

    @property
    def is_long(self) -> bool:
        return any("\n" in line or len(line) > LONG for line in self.lines)


def asked(job: Job) -> list[Asked]:
    """What was asked for, in the order it was stored; what is empty or switched off is left out.

    A key that nobody named above shows as it is. Values under a name that looks like a secret are masked.
    """
    hidden = HIDDEN["*"] | HIDDEN.get(job.kind, frozenset())
    given = {key: value for key, value in job.parameters.items() if key not in hidden}
    found = [
        Asked(str(LABELS.get(key, key)), tuple(_lines(masked(value, key)))) for key, value in given.items()
    ]
    if job.kind == "pull" and not job.parameters.get("tag", "-"):
        found.append(Asked(gettext("Tags"), (gettext("every tag of the repository"),)))
    return [each for each in found if each.lines]


def _lines(value: Any) -> Iterable[str]:
    if value is True:
        yield gettext("yes")
    elif isinstance(value, Mapping):
        if name := value.get("name"):
            yield str(name)
        else:
            yield from (f"{key}={part}" for key, part in value.items() if part not in ("", None))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _lines(part)
    elif value not in ("", None, False):
        yield str(value)
