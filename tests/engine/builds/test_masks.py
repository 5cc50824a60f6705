"""Builds whose instructions hold secrets, on a real engine: who sees the job sees none of them."""

from typing import Any

import pytest
from django.test import Client

from images.models import AuditEntry, Host, Job, User
from images.secrets import MASK
from tests import factories
from tests.engine.builds.building import BASE, built, log

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]

HEAD = f"""FROM {BASE}
ENV API_TOKEN=hush-1 SMTP_PWD="two hush-2"
ENV NPM_TOKEN hush-3
"""
# What a step writes repeats it, as `set -x` does.
STEP = """RUN echo + API_KEY=hush-4 curl -u ada:hush-5 https://hush-6@example.com; echo --password hush-7;\
 echo "Authorization: Bearer hush-8"; PGPASSWORD="two hush-9" """
HTMX = {"HX-Request": "true"}
FAILURES = {
    "step": (f"{HEAD}{STEP}false\n", "build_step_failed"),
    "parse": (f"{HEAD}ENVV API_TOKEN=hush-a\n", "build_syntax"),
    "form": (f"{HEAD}ENV API_TOKEN=hush-a hush-b\n", "build_syntax"),
    "copy": (f"{HEAD}COPY https://hush-a@example.com/API_KEY=hush-b /\n", ""),
    "mount": (f"{HEAD}RUN --mount=type=bind,from=none-API_KEY=hush-a x\n", ""),
}


@pytest.fixture
def person() -> User:
    person = factories.make_user("ada")
    factories.grant(person, "maintainer")
    return person


def text_of(response: Any) -> str:
    assert response.status_code == 200
    return b"".join(response).decode()


def seen(job: Job) -> dict[str, str]:
    """Everything that tells a viewer of the job, by its address."""
    viewer = factories.make_user("vera")
    factories.grant(viewer, "viewer")
    client = Client()
    client.force_login(viewer)
    page, batch = f"/jobs/{job.pk}/", f"/jobs/batches/{job.batch}/"
    urls = [page, f"{page}?q=API", f"{page}?q=hush", f"{page}log/", batch, "/jobs/", f"/hosts/{job.host_id}/"]
    urls += [f"{page}log/?step={step['n']}" for step in job.detail["steps"]]
    found = {url: text_of(client.get(url)) for url in urls}
    found |= {f"part of {url}": text_of(client.get(url, headers=HTMX)) for url in (page, batch)}
    # What was searched for is repeated, and is no news to who typed it.
    found[f"{page}?q=hush"] = found[f"{page}?q=hush"].replace('value="hush"', "").replace("“hush”", "")
    return found


def check(job: Job) -> dict[str, str]:
    pages = seen(job)
    for url, text in pages.items():
        assert "hush" not in text, f"{url}: {text[max(0, text.index('hush') - 200) :][:400]}"
    audit = str(list(AuditEntry.objects.values_list("target", "detail")))
    for stored in (job.detail, job.result, job.error_values, job.error_raw, job.subject, log(job), audit):
        assert "hush" not in str(stored)
    return pages


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_build_that_succeeds_shows_no_secret(host: Host, person: User, builder: str) -> None:
    text = f"{HEAD}{STEP}true\n"
    job = built(host, person, dockerfile_text=text, tags=["shop/web:1"], builder=builder)
    assert job.state == "succeeded", job.error_raw
    pages = check(job)
    page = pages[f"/jobs/{job.pk}/"]
    assert page.count(f"API_TOKEN={MASK} SMTP_PWD={MASK}") >= 2, "as a layer and in what was asked"
    found = pages[f"/jobs/{job.pk}/?q=API"]
    assert f"+ API_KEY={MASK} curl -u ada:{MASK} https://{MASK}@example.com" in found, "the log is searched"
    # Of an image that was built elsewhere, the history tells as much.
    text = "FROM shop/web:1\nRUN true\n"
    onto = built(host, person, dockerfile_text=text, tags=["shop/web:2"], builder=builder)
    assert onto.state == "succeeded", onto.error_raw
    assert any(MASK in layer["by"] for layer in onto.result["layers"])
    assert "hush" not in str(onto.result)


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
@pytest.mark.parametrize("name", FAILURES)
def test_build_that_fails_shows_no_secret(host: Host, person: User, builder: str, name: str) -> None:
    text, code = FAILURES[name]
    job = built(host, person, dockerfile_text=text, tags=["shop/web:1"], builder=builder)
    assert job.state == "failed"
    assert not code or job.error_code == code, job.error_raw
    check(job)


def test_who_typed_it_gets_it_back_whole_and_nobody_else(host: Host, person: User) -> None:
    text = f"{HEAD}{STEP}false\n"
    job = built(host, person, dockerfile_text=text)
    client = Client()
    client.force_login(person)
    form = client.get(f"/builds/new/?again={job.pk}").context["form"]
    assert form["dockerfile_text"].value() == text
    assert "hush" not in client.get(f"/jobs/{job.pk}/").content.decode(), "its page is for everybody"
    client.force_login(factories.make_admin())
    assert client.get(f"/builds/new/?again={job.pk}").status_code == 403
