"""`docker build`: from a typed Dockerfile, from what was sent, or from a git repository."""

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from images.accounts.git_accounts import account_for
from images.accounts.registries import credentials_of, registry_for
from images.contexts import git
from images.contexts.archive import Members, Survey, archived, packed, survey, typed
from images.contexts.dockerfiles import bases
from images.engine import buildx, read
from images.engine.build import BuildRequest, build
from images.engine.build_failures import BASE_MISSING
from images.engine.steps import Step, Steps
from images.engine.transfer import Layers, pull
from images.errors import UserError
from images.hosts.budget import over_budget
from images.inventory import picture
from images.jobs.attempts import attempted
from images.jobs.context import JobContext
from images.jobs.life import job_start, wake
from images.jobs.operations import operation
from images.models import Copy, Host, Job, Permission, Registry, Upload, User
from images.references import InvalidReferenceError, parse
from images.secrets import Hiding, is_secret, masked_text
from images.transfers.uploads import upload_path, upload_survey

DEADLINE_SECONDS = 6 * 3600
LAYERS_SHOWN = 200


def build_start(
    *,
    by: User,
    hosts: Iterable[Host],
    dockerfile_text: str = "",
    upload: Upload | None = None,
    git_url: str = "",
    branch: str = "",
    folder: str = "",
    dockerfile: str = "",
    tags: Iterable[str] = (),
    target: str = "",
    build_args: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    no_cache: bool = False,
    pull: bool = False,
    network: str = "",
    platform: str = "",
    builder: str = "",
    secrets: Mapping[str, str] | None = None,
) -> list[Job]:
    """One job per host, all of one batch. The caller has checked the permission to build on every host.

    The context is `dockerfile_text` alone, an `upload` of the same person, or `git_url` with `branch`; `folder` is
    the part of it that counts and `dockerfile` a path in there. `network` and `builder` ("buildkit", "classic")
    may be empty: the engine's own. `secrets` are for mounts of the Dockerfile, by their id; they need buildx where
    the workers run. Raises UserError build_arg_secret, git_address, git_credentials, upload_gone.
    """
    if secret := next((name for name in build_args or {} if is_secret(name)), ""):
        raise UserError("build_arg_secret", name=secret)
    names = [_with_tag(tag) for tag in tags]
    parameters: dict[str, Any] = {
        "tags": names, "folder": folder, "dockerfile": dockerfile, "stage": target,
        "build_args": dict(build_args or {}), "labels": dict(labels or {}), "no_cache": no_cache, "pull": pull,
        "network": network, "platform": platform, "builder": builder, "secret_ids": sorted(secrets or {}),
    }  # fmt: skip
    parameters |= _context_parameters(by, dockerfile_text, upload, git_url, branch)
    subject = names[0] if names else masked_text(git_url) or (upload.name if upload else "Dockerfile")
    batch = uuid.uuid4()
    return [
        job_start(
            kind="build",
            host=host,
            by=by,
            parameters=parameters,
            batch=batch,
            subject=subject,
            secrets=secrets,
        )
        for host in hosts
    ]


def _context_parameters(
    by: User, dockerfile_text: str, upload: Upload | None, git_url: str, branch: str
) -> dict[str, str]:
    if git_url:
        git.address_check(git_url)
        return {"context": "git", "git_url": git_url, "branch": branch}
    if upload:
        if upload.created_by_id != by.pk or not upload_path(upload).exists():
            raise UserError("upload_gone")
        return {"context": "upload", "upload": str(upload.pk), "file": upload.name}
    return {"context": "typed", "dockerfile_text": dockerfile_text}


def _with_tag(name: str) -> str:
    return name if parse(name).tag else f"{name}:latest"


@operation(
    "build",
    label=_("Build"),
    permission=Permission.BUILD,
    deadline_seconds=DEADLINE_SECONDS,
    limit="most_builds",
)
def carry_out(context: JobContext) -> dict[str, Any]:
    """Builds, and says what came of it: the image, its names, and the bytes that each step added."""
    parameters, engine, host = context.job.parameters, context.engine, context.host
    secrets = context.secrets()
    steps = Steps(is_classic=_is_classic(context), hide=Hiding(secrets.values()))
    figures: dict[str, Any] = {}
    context.draw(lambda: {"steps": _drawn(context, steps), "context": figures})
    before = {name: read.find_image(engine, name) for name in parameters["tags"]}
    try:
        with _members(context, steps) as members:
            found = _survey(context, members)
            figures |= found.as_json()
            if found.dockerfile_text is None:
                raise UserError("build_dockerfile_missing")
            pulled = _bases_pull(context, steps, found.dockerfile_text)
            _build(context, steps, members, found, secrets, pulls=parameters["pull"] and not pulled)
    except Exception:
        picture.cache_unsure(host)
        wake("images.tasks.sync_host", host.pk)
        raise
    finally:
        # Whatever ended it, no step is under way any more.
        steps.close(is_built=bool(steps.image_id) and steps.failed is None and context.stop is None)
    names = [steps.image_id, *parameters["tags"]]
    picture.images_refresh(host, names, engine, again=host.store_kind == "containerd")
    picture.recount(host)
    replaced = {name: old.engine_id for name, old in before.items() if old}
    return _what_came(context, steps.image_id, replaced) | over_budget(host)


def _is_classic(context: JobContext) -> bool:
    builder, host = context.job.parameters["builder"], context.host
    kind = host.engine_kind or read.info(context.engine).engine_kind
    if builder == "buildkit" and kind == "podman":
        raise UserError("engine_too_old", host=host.name, option="BuildKit")
    is_classic = builder == "classic" or kind == "podman"
    if is_classic and context.job.parameters.get("secret_ids"):
        raise UserError("engine_too_old", host=host.name, option="RUN --mount=type=secret")
    return is_classic


@contextlib.contextmanager
def _members(context: JobContext, steps: Steps) -> Iterator[Members]:
    """The context's files, wherever they come from."""
    parameters = context.job.parameters
    if parameters["context"] == "typed":
        yield typed(parameters["dockerfile_text"])
    elif parameters["context"] == "upload":
        path = upload_path(uuid.UUID(parameters["upload"]))
        if not path.exists():
            raise UserError("upload_gone")
        yield archived(path)
    else:
        with _fetched(context, steps) as members:
            yield members


@contextlib.contextmanager
def _fetched(context: JobContext, steps: Steps) -> Iterator[Members]:
    """The files of the repository; the result says with which account each of its repositories was fetched."""
    url, branch = context.job.parameters["git_url"], context.job.parameters["branch"]
    step = steps.add("fetch", url, kind="fetch", state="running")
    context.progress(0, 0, "steps")

    def say(line: str) -> None:
        step.line_count += 1
        context.log(masked_text(line), step.number)

    def account(url: str) -> git.Login | None:
        found = account_for(url)
        _account_told(context, masked_text(url), found)
        return found

    with _failing(steps, step), git.fetched(url, branch, context.check, say, account) as members:
        steps.finish(step)
        yield members


def _account_told(context: JobContext, name: str, account: git.Login | Registry | None) -> None:
    context.result.setdefault("accounts", {})[name] = account.name if account else ""


def _survey(context: JobContext, members: Members) -> Survey:
    """What the context holds; of an upload it may be known from when it came."""
    parameters = context.job.parameters
    wanted = {"folder": parameters["folder"], "dockerfile": parameters["dockerfile"]}
    if parameters["context"] == "upload":
        upload = Upload.objects.filter(pk=parameters["upload"]).first()
        if upload is None:
            raise UserError("upload_gone")
        return upload_survey(upload, **wanted)
    return survey(members, **wanted)


@contextlib.contextmanager
def _failing(steps: Steps, step: Step) -> Iterator[None]:
    """Marks the step as the one that failed, if it is still under way."""
    try:
        yield
    except UserError as error:
        if step.state == "running":
            steps.finish(step, "failed", str(error))
        raise


def _bases_pull(context: JobContext, steps: Steps, dockerfile: str) -> bool:
    """Pulls base images first: builders without a session can not sign in. Whether all of them were pulled.

    Only what needs it: with an account that fits and not here yet, or everything when that is asked for.
    """
    parameters = context.job.parameters
    wanted = [name for name in bases(dockerfile, parameters["build_args"]) if _is_reference(name)]
    private = {name: registry for name in wanted if (registry := registry_for(name))}
    if not private:
        return False
    for name in wanted if parameters["pull"] else list(private):
        if parameters["pull"] or read.find_image(context.engine, name) is None:
            _base_pull(context, steps, name)
    return True


def _is_reference(name: str) -> bool:
    try:
        return bool(parse(name))
    except InvalidReferenceError:
        return False


def _base_pull(context: JobContext, steps: Steps, name: str) -> None:
    registry = registry_for(name)
    _account_told(context, name, registry)
    step = steps.add(f"base {name}", name, kind="base", state="running")
    with _failing(steps, step):
        try:
            attempted(
                context, lambda: _base_pull_once(context, steps, step, name, registry),
                lambda text: _say(context, [(step.number, text)]),
            )  # fmt: skip
        except UserError as error:
            if error.code in BASE_MISSING:
                raise UserError("build_base_missing", raw=error.raw, **error.values) from error
            raise
    steps.finish(step)


def _base_pull_once(
    context: JobContext, steps: Steps, step: Step, name: str, registry: Registry | None
) -> None:
    parsed, layers = parse(name), Layers()
    lines = pull(
        context.engine, parsed.repository, tag=parsed.digest or parsed.tag or "latest",
        platform=context.job.parameters["platform"], credentials=credentials_of(registry), subject=name,
        host=context.host.name, registry=parsed.registry, patience=layers.patience,
    )  # fmt: skip
    with contextlib.closing(lines):
        for line in lines:
            if not layers.take(line) and line.text:
                _say(context, [(step.number, line.text)])
            step.parts["layers"] = (layers.done_bytes, layers.total_bytes)
            _tell(context, steps)


def _build(
    context: JobContext,
    steps: Steps,
    members: Members,
    found: Survey,
    secrets: Mapping[str, str],
    *,
    pulls: bool,
) -> None:
    parameters = context.job.parameters
    request = BuildRequest(
        tags=parameters["tags"], dockerfile=found.dockerfile, target=parameters["stage"],
        build_args=parameters["build_args"], labels=parameters["labels"], no_cache=parameters["no_cache"],
        pull=pulls, network=parameters["network"], platform=parameters["platform"],
        is_classic=steps.is_classic,
    )  # fmt: skip
    body = _sent(context, steps, packed(members, found), found)
    engine, host = context.engine, context.host.name
    if secrets:
        told_lines = buildx.build(engine, request, body, steps, secrets, host=host)
    else:
        told_lines = build(engine, request, body, steps, host=host)
    # Closed when the job is to end: that cuts the connection, which cancels the build.
    with contextlib.closing(told_lines) as lines:
        for told in lines:
            _say(context, told)
            _tell(context, steps)


def _sent(context: JobContext, steps: Steps, chunks: Iterator[bytes], found: Survey) -> Iterator[bytes]:
    """The context's bytes, counted as they go out. Headers come on top, so the size is a little less than is sent."""
    step = steps.add("context", "context", kind="context", state="running")
    done = 0
    for chunk in chunks:
        context.check()
        yield chunk
        done += len(chunk)
        step.parts["context"] = (done, max(found.sent_bytes, done))
        _tell(context, steps)
    step.parts["context"] = (done, done)
    steps.finish(step)
    _tell(context, steps)


def _say(context: JobContext, lines: Iterable[tuple[int, str]]) -> None:
    for number, line in lines:
        context.log(line, number)


def _tell(context: JobContext, steps: Steps) -> None:
    over = sum(step.state in ("done", "cached") for step in steps.steps)
    context.progress(over, len(steps.steps), "steps")


def _drawn(context: JobContext, steps: Steps) -> list[dict[str, Any]]:
    return [
        step | ({"chunks": chunks} if (chunks := context.log_chunks(step["n"])) else {})
        for step in steps.as_json()
    ]


def _what_came(context: JobContext, engine_id: str, before: dict[str, str]) -> dict[str, Any]:
    content = read.content(context.engine, engine_id)
    copy = (
        Copy.objects.filter(host=context.host, engine_id=engine_id).values("image_id", "size_bytes").first()
    )
    # Of the base image too, which somebody else built.
    layers = [
        {"by": masked_text(step.created_by)[:400], "bytes": step.size_bytes} for step in content.history
    ]
    return {
        "engine_id": engine_id,
        "image": copy["image_id"] if copy else None,
        "total_bytes": copy["size_bytes"] if copy else sum(layer["bytes"] for layer in layers),
        "references": context.job.parameters["tags"],
        "layers": layers[-LAYERS_SHOWN:],
        "moved": {name: old for name, old in before.items() if old != engine_id},
        "built_at": datetime.now(UTC).isoformat(),
    }
