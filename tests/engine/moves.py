"""For tests that move archives: a browser without pages, and images with something in them."""

import gzip
import io
import json
import os
import tarfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from config.demo import images as demo
from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.models import Copy, Host, Job, User
from tests.browser.plugin import LiveSite

PATIENCE_SECONDS = 40


class Person:
    """Somebody at a browser: signed in, with the CSRF token that pages hand out."""

    def __init__(self, site: LiveSite, user: User | None, **headers: str) -> None:
        self.site = site
        self.http = httpx.Client(
            base_url=site.url, timeout=PATIENCE_SECONDS, trust_env=False,
            headers={"Origin": site.url} | headers,
        )  # fmt: skip
        self.http.get("/account/login/")
        self._take_token()
        if user is not None:
            sent = {"username": user.username, "password": "a long password"}
            assert self.post("/account/login/", **sent).status_code == 302
            self._take_token()

    def _take_token(self) -> None:
        self.http.headers["X-CSRFToken"] = self.http.cookies["csrftoken"]

    def post(self, url: str, **data: Any) -> httpx.Response:
        return self.http.post(url, data=data)

    def save(self, *copies: Copy, **options: str) -> Job:
        return self.started("save", copies=",".join(str(copy.pk) for copy in copies), **options)

    def copy(self, copies: Iterable[Copy], hosts: Iterable[Host]) -> list[Job]:
        ids = ",".join(str(copy.pk) for copy in copies)
        first = self.started("copy", copies=ids, hosts=[str(host.pk) for host in hosts])
        return list(Job.objects.filter(batch=first.batch).order_by("pk"))

    def started(self, kind: str, **data: Any) -> Job:
        response = self.post(f"/commands/{kind}/", **data)
        assert response.status_code == 302, response.text[-3000:]
        return Job.objects.get(pk=response.headers["Location"].rstrip("/").rpartition("/")[2])

    def load(self, hosts: Iterable[Host], size: int = 0, file: str = "images.tar") -> list[Job]:
        pks = [str(host.pk) for host in hosts]
        answer = self.post("/load/", hosts=pks, file=file, size=str(size)).json()
        assert "upload" in answer, answer
        first = Job.objects.get(pk=answer["upload"].split("/")[2])
        return list(Job.objects.filter(batch=first.batch).order_by("pk"))

    def download(self, job: Job) -> bytes:
        until(job, phase="waiting")
        return self.http.get(f"/transfers/{job.pk}/").raise_for_status().content

    def upload(self, job: Job, content: bytes | Iterable[bytes]) -> httpx.Response:
        return self.http.put(f"/transfers/{job.pk}/", content=content)

    def upload_to_all(self, jobs: Sequence[Job], content: bytes) -> int:
        """As the page does: once more for the hosts that had no worker free. How many times it was sent."""
        waiting, times = [job.pk for job in jobs], 0
        while waiting:
            address = f"/transfers/{jobs[0].pk}/?jobs={','.join(map(str, waiting))}"
            waiting = self.http.put(address, content=content).raise_for_status().json()["waiting"]
            times += 1
        return times

    def close(self) -> None:
        self.http.close()


def until(job: Job, *, phase: str = "", seconds: float = PATIENCE_SECONDS) -> Job:
    """Waits for the end of the job, or for a phase that its page draws."""
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        row = Job.objects.get(pk=job.pk)
        if not row.is_open or (phase and row.detail.get("transfer", {}).get("phase") == phase):
            return row
        time.sleep(0.05)
    raise AssertionError(f"{row} is {row.state} {row.detail}")


def noise(path: str, size_bytes: int, **fields: Any) -> Layer:
    """A layer that no packing makes smaller."""
    return Layer(path, content=os.urandom(size_bytes), **fields)


def archive(*images: Image) -> bytes:
    return b"".join(demo.archive(images))


def loaded(engine: PrivateEngine, *images: Image) -> None:
    with engine.client() as api:
        demo.load(api, *images)


def tags(engine: PrivateEngine) -> set[str]:
    with engine.client() as api:
        return {name for row in api.images() for name in row.get("RepoTags") or [] if name != "<none>:<none>"}


def tags_inside(content: bytes) -> set[str]:
    """The references in an archive's manifest; fails when it is no archive."""
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest
        return {name for entry in json.load(manifest) for name in entry["RepoTags"] or []}


def zeros(name: str, size_bytes: int) -> Iterator[bytes]:
    """An archive of one image with a layer of so many bytes, made as it is read."""
    return demo.archive([Image([name], [Layer("data", size_bytes)])])


@contextmanager
def person(site: LiveSite, user: User | None, **headers: str) -> Iterator[Person]:
    made = Person(site, user, **headers)
    try:
        yield made
    finally:
        made.close()
