"""What a build asks for: where its context comes from, and docker build's options."""

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from images.commands.build import build_start
from images.contexts.archive import MOST_TEXT_BYTES
from images.contexts.git import REF
from images.forms.commands.base import CommandForm
from images.models import Job, Permission, Upload, User
from images.models.upload import UploadState
from images.references import InvalidReferenceError, parse
from images.secrets import is_secret

_NAME = re.compile(r"^[A-Za-z_]\w*$")
_SECRET_ID = re.compile(r"^[\w.-]{1,100}$")
_LABEL = re.compile(r"^\S+$")
_CODE = {"spellcheck": "false", "autocomplete": "off", "autocapitalize": "none", "class": "form-control mono"}
EXAMPLE = "FROM debian:12.8-slim\n"
MOST_TAGS = 20
MOST_SECRETS = 20
MOST_SECRET_BYTES = 64 * 1024  # of one; an environment takes twice as much


def code_area(rows: int, **attributes: str) -> forms.Textarea:
    return forms.Textarea(attrs=_CODE | {"rows": rows} | attributes)


def code_input(**attributes: str) -> forms.TextInput:
    return forms.TextInput(attrs=_CODE | attributes)


class FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Any number of files; the clean value is a list of them."""

    widget = FilesInput

    def clean(self, data: Any, initial: Any = None) -> "list[UploadedFile[Any]]":
        files = [data] if isinstance(data, UploadedFile) else data or []
        return [file for file in (super(FilesField, self).clean(each, initial) for each in files) if file]


def fragment_split(form: forms.Form, data: dict[str, Any]) -> None:
    """Docker's way of writing, `repository#branch:folder`, is taken apart into the fields."""
    url, mark, fragment = (data.get("git_url") or "").partition("#")
    if not mark:
        return
    data["git_url"] = url
    branch, _mark, folder = fragment.partition(":")
    for name, value in (("branch", branch), ("folder", folder)):
        given = data.get(name) or ""
        if value and given and value != given:
            form.add_error(name, gettext("The address says %(value)s.") % {"value": value})
        elif value and name == "branch" and not REF.match(value):
            form.add_error("git_url", gettext("What follows # is no branch, tag or commit."))
        else:
            data[name] = given or value


class GitForm(forms.Form):
    """What it takes to look at a repository before it is built."""

    git_url = forms.CharField(label=_("Address"), max_length=400)
    branch = forms.RegexField(REF, label=_("Branch, tag or commit"), required=False, max_length=200)
    folder = forms.CharField(label=_("Folder"), required=False, max_length=400)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        fragment_split(self, data)
        return data


class BuildForm(CommandForm):
    kind = "build"
    title = _("Build an image")
    submit = _("Build")
    permission = Permission.BUILD

    context = forms.ChoiceField(
        label=_("The files come from"), initial="typed", widget=forms.RadioSelect,
        choices=[
            ("typed", _("A Dockerfile typed here")), ("archive", _("An archive")), ("folder", _("A folder")),
            ("git", _("A git repository")),
        ],
    )  # fmt: skip
    dockerfile_text = forms.CharField(
        label=_("Dockerfile"), required=False, initial=EXAMPLE, max_length=MOST_TEXT_BYTES, strip=False,
        widget=code_area(14),
        help_text=_("It is built without any other file; COPY and ADD have nothing to copy but from other images."),
    )  # fmt: skip
    upload = forms.UUIDField(required=False, widget=forms.HiddenInput)
    git_url = forms.CharField(
        label=_("Address"), required=False, max_length=400, widget=code_input(inputmode="url"),
        help_text=_(
            "Such as https://github.com/acme/api.git, or with #branch:folder. For private repositories there are git "
            "accounts, on the page of registries."
        ),
    )  # fmt: skip
    branch = forms.RegexField(
        REF, label=_("Branch, tag or commit"), required=False, max_length=200, widget=code_input(),
        help_text=_("Empty means the default branch."),
    )  # fmt: skip
    folder = forms.CharField(
        label=_("Folder"), required=False, max_length=400, widget=code_input(),
        help_text=_("The part of it that is the context. Empty means all of it."),
    )  # fmt: skip
    dockerfile = forms.CharField(
        label=_("Dockerfile's path"), required=False, max_length=400, widget=code_input(),
        help_text=_("As seen from that folder. Empty means Dockerfile."),
    )  # fmt: skip
    tags = forms.CharField(
        label=_("Tags"), required=False, max_length=4000, widget=code_area(2),
        help_text=_("One a line, such as registry.example.com/shop/api:1.4. Without one the image has only an ID."),
    )  # fmt: skip
    target = forms.CharField(
        label=_("Target stage"), required=False, max_length=100, widget=code_input(),
        help_text=_("Empty means the last one."),
    )  # fmt: skip
    build_args = forms.CharField(
        label=_("Build arguments"), required=False, max_length=20_000, widget=code_area(3),
        help_text=_("NAME=value, one a line. Everybody who has the image can read them."),
    )  # fmt: skip
    labels = forms.CharField(
        label=_("Labels"), required=False, max_length=20_000, widget=code_area(3),
        help_text=_("name=value, one a line."),
    )  # fmt: skip
    secrets = forms.CharField(
        label=_("Secrets"), required=False, max_length=100_000, widget=code_area(3),
        help_text=_(
            "id=value, one a line, for RUN --mount=type=secret. They are in neither the image nor its history, and "
            "are forgotten when the build begins."
        ),
    )  # fmt: skip
    secret_files = FilesField(
        label=_("Secrets from files"), required=False,
        help_text=_("A file's name is the secret's id."),
    )  # fmt: skip
    network = forms.ChoiceField(
        label=_("Network of its steps"), required=False,
        choices=[("", _("The engine's own")), ("host", _("The host's")), ("none", _("None"))],
    )  # fmt: skip
    platform = forms.RegexField(
        r"^[a-z0-9]+(/[a-z0-9]+(/[a-z0-9.]+)?)?$", label=_("Platform"), required=False, max_length=50,
        widget=code_input(), help_text=_("Empty means the host's own. Else such as linux/arm64."),
    )  # fmt: skip
    builder = forms.ChoiceField(
        label=_("Builder"), required=False,
        choices=[("", _("BuildKit where there is one")), ("buildkit", _("BuildKit")), ("classic", _("Classic"))],
    )  # fmt: skip
    no_cache = forms.BooleanField(label=_("Build every step anew, without the cache"), required=False)
    pull = forms.BooleanField(label=_("Pull the base images anew"), required=False)

    def clean_tags(self) -> list[str]:
        names = re.split(r"[\s,]+", self.cleaned_data["tags"].strip())
        names = list(dict.fromkeys(filter(None, names)))
        for name in names:
            try:
                wrong = bool(parse(name).digest)
            except InvalidReferenceError:
                wrong = True
            if wrong:
                raise ValidationError(gettext("%(name)s is not a name for an image.") % {"name": name})
        if len(names) > MOST_TAGS:
            raise ValidationError(gettext("At most %(most)s tags.") % {"most": MOST_TAGS})
        return names

    def clean_build_args(self) -> dict[str, str]:
        values = assignments(self.cleaned_data["build_args"], _NAME)
        for name in values:
            if is_secret(name):
                raise ValidationError(
                    gettext(
                        "%(name)s looks like a secret. Build arguments end up in the image's history, where "
                        "everybody who has the image can read them. Give it under Secrets."
                    )
                    % {"name": name}
                )
        return values

    def clean_labels(self) -> dict[str, str]:
        return assignments(self.cleaned_data["labels"], _LABEL)

    def clean_secrets(self) -> dict[str, str]:
        found = assignments(self.cleaned_data["secrets"], _SECRET_ID)
        for name, value in found.items():
            _size_check(name, len(value.encode()))
            if not value:
                raise ValidationError(_nothing(name))
        return found

    def clean_secret_files(self) -> dict[str, str]:
        return {file.name: secret_of(file) for file in self.cleaned_data["secret_files"]}

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        kind = data.get("context")
        if (
            kind == "typed"
            and not data.get("dockerfile_text", "").strip()
            and "dockerfile_text" not in self.errors
        ):
            self.add_error("dockerfile_text", _("Write at least a FROM line."))
        elif kind == "git" and not data.get("git_url") and "git_url" not in self.errors:
            self.add_error("git_url", _("Give the repository's address."))
        elif kind == "git":
            fragment_split(self, data)
        elif kind in ("archive", "folder"):
            data["upload"] = self._sent(data.get("upload"))
        self._secrets_join(data)
        return data

    def _secrets_join(self, data: dict[str, Any]) -> None:
        typed, files = data.get("secrets") or {}, data.pop("secret_files", None) or {}
        if twice := sorted(typed.keys() & files.keys()):
            self.add_error(
                "secret_files", gettext("The secret %(name)s is given twice.") % {"name": twice[0]}
            )
        if len(typed) + len(files) > MOST_SECRETS:
            self.add_error("secrets", gettext("At most %(most)s secrets.") % {"most": MOST_SECRETS})
        if (typed or files) and data.get("builder") == "classic":
            self.add_error("builder", gettext("The classic builder knows no secrets."))
        data["secrets"] = typed | files

    def _sent(self, pk: Any) -> Upload | None:
        found = (
            Upload.objects.filter(pk=pk, created_by=self.user, state=UploadState.READY).first()
            if pk
            else None
        )
        if found is None:
            self.add_error(None, _("Choose the files and wait until they have arrived."))
        return found

    def start(self, by: User) -> list[Job]:
        data = dict(self.cleaned_data)
        kind = data.pop("context")
        own = {"typed": {"dockerfile_text"}, "git": {"git_url", "branch"}}.get(kind, {"upload"})
        for name in {"dockerfile_text", "upload", "git_url", "branch"} - own:
            del data[name]
        if kind == "typed":
            data |= {"folder": "", "dockerfile": ""}
        return build_start(by=by, **data)


def secret_of(file: "UploadedFile[Any]") -> str:
    """What is in a secret's file. Raises ValidationError unless it is text of a sensible size and name."""
    values = {"name": str(file.name)[:80]}
    if not _SECRET_ID.match(str(file.name)):
        raise ValidationError(
            gettext("%(name)s can not be a secret's id: letters, digits, dots and dashes only.") % values
        )
    _size_check(values["name"], file.size or 0)
    try:
        text = str(file.read(), "utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or not text:
        raise ValidationError(_nothing(values["name"]))
    return text


def _nothing(name: str) -> str:
    return gettext("%(name)s is empty or no text, so it can not be a secret.") % {"name": name}


def _size_check(name: str, size_bytes: int) -> None:
    if size_bytes > MOST_SECRET_BYTES:
        raise ValidationError(
            gettext("%(name)s is larger than 64 kB, which no secret may be.") % {"name": name}
        )


def assignments(text: str, names: re.Pattern[str]) -> dict[str, str]:
    """ "NAME=value" line by line. Raises ValidationError with the line that is none."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, value = line.partition("=")
        if not equals or not names.match(name.strip()):
            raise ValidationError(gettext("Write it as NAME=value: %(line)s") % {"line": line[:80]})
        found[name.strip()] = value.strip()
    return found


def initial_of(address: Mapping[str, Any], user: User) -> dict[str, Any]:
    """What the address that opened the page says: `?host=3&git_url=...`."""
    return BuildForm.initial_of(address, user)


def initial_again(job: Job) -> dict[str, Any]:
    """The form as this build filled it, to be changed; its secrets are gone but for their names."""
    said = job.parameters
    same = ("git_url", "branch", "folder", "dockerfile", "no_cache", "pull", "network", "platform", "builder")
    initial: dict[str, Any] = {name: said.get(name, "") for name in same}
    initial |= {
        "hosts": [job.host], "context": said.get("context", "typed"), "target": said.get("stage", ""),
        "tags": "\n".join(said.get("tags", ())),
        "secrets": "\n".join(f"{name}=" for name in said.get("secret_ids", ())),
        "dockerfile_text": said.get("dockerfile_text", EXAMPLE),
    }  # fmt: skip
    for name in ("build_args", "labels"):
        initial[name] = "\n".join(f"{key}={value}" for key, value in said.get(name, {}).items())
    if initial["context"] == "upload":
        # What was sent is kept for a day only; whether it was an archive or a folder makes no difference here.
        initial |= {"context": "archive", "upload": said.get("upload")}
    return initial
