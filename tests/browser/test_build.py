"""Building in a browser: steps that are cached, work and fail while one watches; folders and archives; 2 GB."""

import contextlib
import http.client
import io
import re
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from config.demo import images as demo
from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.models import Host, Job, Upload
from tests import factories
from tests.browser.plugin import LiveSite, sign_in
from tests.git_server import GitServer

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.services]

BASE = "shop/tools:1"
FAILING = f"""FROM {BASE} AS build
RUN echo first > /first; echo said first
RUN echo before the end; sleep 2; exit 3

FROM scratch
COPY --from=build /first /first
"""


@pytest.fixture
def host(live_site: LiveSite, engine: PrivateEngine) -> Host:
    with engine.client() as api:
        demo.load(api, Image([BASE], [Layer("tools", tools=True)], config={"Env": ["PATH=/bin"]}))
    factories.make_admin("root")
    return factories.make_host("build-1", address=engine.address, engine_kind="docker", store_kind="graph")


def start(page: "Page", **fields: str) -> None:
    for name, value in fields.items():
        page.locator(f"textarea[name={name}]").fill(value)
    page.locator(".build-more > summary").click()
    page.locator("select[name=network]").select_option("none")
    page.get_by_role("button", name="Build").click()
    page.wait_for_url(re.compile(r"/jobs/\d+/$"))


@pytest.mark.engine
def test_build_of_stages_with_a_cached_and_a_failing_step(page: "Page", host: Host) -> None:
    sign_in(page, "root")
    page.goto("/images/")
    page.get_by_role("link", name="Build", exact=True).click()
    start(page, dockerfile_text=FAILING.replace("exit 3", "exit 0"), tags="shop/api:1")
    page.locator(".badge", has_text="Succeeded").first.wait_for(timeout=30_000)
    page.get_by_role("heading", name="What each step added").wait_for()
    assert page.locator("main details[open]").count() == 0, "what went well is folded"
    page.goto("/builds/new/")
    start(page, dockerfile_text=FAILING, tags="shop/api:1")
    page.evaluate("window.sameDocument = true")
    # While it works: the first step is cached, the second one under way, and its log can be opened.
    cached = page.locator(".build-step.is-cached", has_text="RUN echo first")
    cached.wait_for()
    page.locator(".build-step.is-failed", has_text="exit 3").wait_for(timeout=30_000)
    page.locator(".badge", has_text="Failed").first.wait_for()
    assert page.evaluate("window.sameDocument") is True
    failed = page.locator(".build-step.is-failed")
    assert failed.locator("pre").inner_text().strip() == "before the end"
    assert failed.locator("details").get_attribute("open") is not None
    page.get_by_text("A step ended with the exit code 3").first.wait_for()
    page.locator(".build-step.is-skipped", has_text="COPY --from=build").wait_for()
    page.get_by_role("link", name="Change and build again").click()  # where "Cancel this job" stood before
    page.wait_for_url("**/builds/new/?again=*")
    assert page.locator("textarea[name=dockerfile_text]").input_value() == FAILING
    page.go_back()
    page.locator("#log_search").fill("BEFORE")
    page.locator("#log_search").press("Enter")
    page.get_by_text("1 line with").wait_for()


@pytest.mark.engine
def test_log_that_was_opened_stays_open_while_the_build_goes_on(page: "Page", host: Host) -> None:
    sign_in(page, "root")
    page.goto("/builds/new/")
    text = f"FROM {BASE}\nRUN echo early\nRUN for i in 1 2 3 4; do sleep 1; echo line $i; done\n"
    start(page, dockerfile_text=text)
    early = page.locator(".build-step.is-done", has_text="RUN echo early")
    early.locator("summary").click()
    page.locator(".build-step", has_text="RUN for").locator("pre", has_text="line 2").wait_for(
        state="attached", timeout=30_000
    )
    assert early.locator("details").get_attribute("open") is not None
    page.locator(".badge", has_text="Succeeded").first.wait_for(timeout=30_000)
    assert early.locator("details").get_attribute("open") is not None


@pytest.mark.engine
def test_folder_is_packed_by_the_browser_and_built(page: "Page", host: Host, tmp_path: Path) -> None:
    tree = tmp_path / "web"
    long = "d" * 60 + "/" + "é" * 60
    for name, text in {
        "Dockerfile": f"FROM {BASE}\nCOPY . /src\nRUN cat /src/{long}.txt /src/a.txt\n", "a.txt": "A\n",
        f"{long}.txt": "long\n", "x.log": "log\n", ".dockerignore": "*.log\n",
    }.items():  # fmt: skip
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    sign_in(page, "root")
    page.goto("/builds/new/")
    page.get_by_label("A folder").check()
    assert page.get_by_role("button", name="Build").is_disabled(), "nothing was sent yet"
    page.locator("#tree").set_input_files(tree)
    page.get_by_text("4 files").wait_for()
    page.get_by_text("1 file, 4 B, by .dockerignore").wait_for()
    start(page, tags="shop/web:1")
    page.locator(".badge", has_text="Succeeded").first.wait_for(timeout=30_000)
    said = "".join(Job.objects.get().log.values_list("text", flat=True))
    assert "long" in said


@pytest.mark.engine
@pytest.mark.buildx
def test_build_with_a_typed_secret_and_one_from_a_file(page: "Page", host: Host, tmp_path: Path) -> None:
    typed, from_file = "correct horse battery", "staple of a file"
    (tmp_path / "npmrc").write_text(from_file)
    text = f"FROM {BASE}\nRUN --mount=type=secret,id=token --mount=type=secret,id=npmrc cat /run/secrets/*"
    sign_in(page, "root")
    page.goto("/builds/new/")
    page.get_by_text("Findings show here").wait_for(state="detached")  # those of the empty text have come
    page.locator(".build-more > summary").click()
    page.locator("textarea[name=secrets]").fill(f"token={typed}")
    page.locator("input[name=secret_files]").set_input_files(tmp_path / "npmrc")
    page.locator("select[name=network]").select_option("none")
    with page.expect_request("**/lint/") as lint:
        page.locator("textarea[name=dockerfile_text]").fill(text)
    assert "FROM" in (lint.value.post_data or "")
    assert "horse" not in (lint.value.post_data or ""), "what is typed into other fields stays where it is"
    page.get_by_role("button", name="Build").click()
    page.wait_for_url(re.compile(r"/jobs/\d+/$"))
    page.locator(".badge", has_text="Succeeded").first.wait_for(timeout=60_000)
    page.locator(".build-step", has_text="RUN --mount").locator("summary").click()
    assert set(page.locator(".build-step pre").inner_text().strip()) == {"•"}
    assert "npmrc\ntoken" in page.locator("main").inner_text()
    page.reload()
    assert not {secret for secret in (typed, from_file) if secret in page.content()}


def test_repository_is_looked_at_before_it_is_built(
    page: "Page", live_site: LiveSite, repository: str
) -> None:
    factories.make_admin("root")
    factories.make_host("build-1")
    sign_in(page, "root")
    page.goto("/builds/new/")
    page.get_by_label("A git repository").check()
    page.get_by_label("Address").fill(repository)
    page.get_by_role("button", name="Look at it first").click()
    page.locator("#context .lint-finding", has_text="DL3006").wait_for()
    page.get_by_role("textbox", name="Folder").fill("api")
    page.get_by_role("button", name="Look at it first").click()
    page.locator("#context", has_text="No findings.").wait_for()
    page.get_by_text("There is no .dockerignore").wait_for()
    assert "3 files" in page.locator("#context").inner_text()
    page.get_by_label("Branch, tag or commit").fill("nope")
    page.get_by_role("button", name="Look at it first").click()
    page.get_by_text("has no branch, tag or commit nope").wait_for()
    page.get_by_label("A folder").check()
    assert page.locator("#context").inner_text() == ""


def test_private_repository_is_looked_at_with_an_account_that_was_added(
    page: "Page", live_site: LiveSite, repositories: GitServer
) -> None:
    factories.make_admin("root")
    factories.make_host("build-1")
    repositories.accounts["alice"] = "correct-horse"
    repositories.make("private/shop", {"Dockerfile": "FROM debian\n"})
    sign_in(page, "root")

    def look() -> None:
        page.goto("/builds/new/")
        page.get_by_label("A git repository").check()
        page.get_by_label("Address").fill(f"{repositories.url}/private/shop.git")
        page.get_by_role("button", name="Look at it first").click()

    page.goto("/registries/")
    page.get_by_role("link", name="Add a git account").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Ours")
    dialog.get_by_label("Server").fill(repositories.host)
    dialog.get_by_label("User name").fill("alice")
    dialog.get_by_label("Password or token").fill("wrong")
    dialog.get_by_label("CA certificate").fill(repositories.certificate.read_text())
    dialog.get_by_role("button", name="Add").click()
    page.locator("#git_accounts td", has_text=repositories.host).wait_for()
    look()
    page.get_by_text("does not let the git account Ours in").wait_for()
    page.goto("/registries/")
    page.get_by_role("link", name="Edit Ours").click()
    page.get_by_role("dialog").get_by_label("Password or token").fill("correct-horse")
    with page.expect_navigation():
        page.get_by_role("button", name="Save").click()
    look()
    page.locator("#context .lint-finding", has_text="DL3006").wait_for()


def test_upload_tells_how_far_how_fast_and_how_long(
    page: "Page", live_site: LiveSite, tmp_path: Path
) -> None:
    factories.make_admin("root")
    factories.make_host("build-1")
    path = tmp_path / "large.tar"
    path.write_bytes(b"x" * 50_000_000)
    sign_in(page, "root")
    page.goto("/builds/new/")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 5_000_000}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    page.get_by_label("An archive").check()
    page.locator("#archive").set_input_files(path)
    numbers = page.locator(".upload-numbers")
    numbers.filter(has_text=re.compile(r"^[\d.]+ MB / 50\.0 MB, [\d.]+ MB/s, \d+ sec left$")).wait_for()


def test_archive_shows_what_it_holds_and_findings_before_anything_is_built(
    page: "Page", live_site: LiveSite, tmp_path: Path
) -> None:
    factories.make_admin("root")
    factories.make_host("build-1")
    path = tmp_path / "app.tar.gz"
    with tarfile.open(path, "w:gz") as made:
        for name, text in {
            "app/Dockerfile": b"FROM debian\n",
            "app/x": b"1",
            "app/dev.Dockerfile": b"FROM x:1\n",
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            made.addfile(info, io.BytesIO(text))
    sign_in(page, "root")
    page.goto("/builds/new/")
    page.get_by_label("An archive").check()
    page.locator("#archive").set_input_files(path)
    page.get_by_text("3 files").wait_for()
    page.get_by_text("There is no .dockerignore").wait_for()
    page.locator("#context .lint-finding", has_text="DL3006").wait_for()
    page.get_by_role("button", name="dev.Dockerfile").click()
    page.locator("#context .lint-code", has_text="FROM x:1").wait_for()
    broken = tmp_path / "broken.tar"
    broken.write_bytes(b"x" * 5000)
    page.locator("#archive").set_input_files(broken)
    page.get_by_text("The archive can not be read.").wait_for()
    assert page.get_by_role("button", name="Build").is_disabled()
    assert not Job.objects.exists()


@pytest.fixture
def small_limit(live_site: LiveSite) -> Iterator[int]:
    """The web process takes contexts of 100 kB at most."""

    def restart() -> None:
        live_site.kill("web")
        live_site.revive()

    live_site.environment["CONTEXT_LIMIT_BYTES"] = "100000"
    restart()
    yield 100_000
    del live_site.environment["CONTEXT_LIMIT_BYTES"]
    restart()


def test_context_that_is_too_large_is_said_by_page_and_site(
    page: "Page", live_site: LiveSite, small_limit: int, tmp_path: Path
) -> None:
    factories.make_admin("root")
    factories.make_host("build-1")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "data").write_bytes(bytes(2 * small_limit))
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "web", "web")
    (tmp_path / "plain.tar").write_bytes(bytes(small_limit + 1))
    sign_in(page, "root")
    page.goto("/builds/new/")
    said = page.locator("#upload [role=alert]")

    def is_said() -> None:
        said.filter(
            has_text="The context is larger than 0.0001 GB. It holds what a build does not"
        ).wait_for()
        said.filter(has_text="Leave that out.").wait_for()
        assert page.get_by_role("button", name="Build").is_disabled()

    page.get_by_label("A folder").check()
    page.locator("#tree").set_input_files(tmp_path / "web")
    is_said()
    page.get_by_label("An archive").check()
    page.locator("#archive").set_input_files(tmp_path / "plain.tar")
    is_said()
    page.get_by_label("A git repository").check()
    page.get_by_label("An archive").check()
    said.wait_for(state="detached")
    with page.expect_response("**/builds/uploads/*") as unpacked_here:
        page.locator("#archive").set_input_files(tmp_path / "packed.tar.gz")
    is_said()
    assert unpacked_here.value.status == 422
    page.evaluate("document.getElementById('build-form').dataset.limit = 1e12")  # a page of before the limit
    with page.expect_response("**/builds/uploads/*") as refused:
        page.locator("#archive").set_input_files(tmp_path / "plain.tar")
    is_said()
    assert refused.value.status == 413


def resident(pid: int, name: str) -> int:
    """Bytes, from the kernel's own count: VmRSS of now, VmHWM of the highest so far."""
    line = next(
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(name)
    )
    return int(line.split()[1]) * 1024


@pytest.mark.timeout(300)
def test_upload_of_2_gb_leaves_the_web_process_below_200_mb(page: "Page", live_site: LiveSite) -> None:
    factories.make_admin("root")
    sign_in(page, "root")
    cookies = {each["name"]: each["value"] for each in page.context.cookies()}
    page.goto("about:blank")
    size, piece = 2_000_000_000, bytes(1 << 20)
    info = tarfile.TarInfo("zeros")
    info.size = size
    header, tail = info.tobuf(), bytes(-size % 512 + 1024)
    site = urlsplit(live_site.url)
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    pid = live_site.children["web"].pid
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the highest so far is counted anew from here
    before, highest, began = resident(pid, "VmRSS"), 0, time.monotonic()
    with contextlib.closing(
        http.client.HTTPConnection(str(site.hostname), site.port, timeout=120)
    ) as connection:
        connection.putrequest("PUT", "/builds/uploads/?name=zeros.tar")
        for name, value in {
            "Cookie": cookie, "X-CSRFToken": cookies["csrftoken"],
            "Content-Length": str(len(header) + size + len(tail)),
        }.items():  # fmt: skip
            connection.putheader(name, value)
        connection.endheaders(header)
        left = size
        while left:
            connection.send(piece[: min(left, len(piece))])
            left -= min(left, len(piece))
        connection.send(tail)
        answer = connection.getresponse()
        text = answer.read()
    took, highest = time.monotonic() - began, resident(pid, "VmHWM")
    print(f"2 GB in {took:.1f} s; web process {before / 1e6:.0f} MB before, {highest / 1e6:.0f} MB at most")
    assert answer.status == 201, text
    upload = Upload.objects.get()
    assert upload.summary["total_bytes"] == size
    assert highest < 200_000_000
    (Path(live_site.environment["DATA_DIR"]) / "spool" / str(upload.pk)).unlink()
