"""Much passes through, little stays: the web process and Redis hardly grow with the size of an archive."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from config.demo.engines import PrivateEngine
from images.models import JobState
from tests import factories
from tests.browser.plugin import LiveSite
from tests.engine.freed import find, registered
from tests.engine.moves import Person, person, until, zeros

pytestmark = [pytest.mark.engine, pytest.mark.services]

SIZE = 300_000_000
MOST_MB = 200
MOST_REDIS_BYTES = 40_000_000


@pytest.fixture
def root(live_site: LiveSite) -> Iterator[Person]:
    with person(live_site, factories.make_admin()) as root:
        yield root


def peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


def test_archive_of_300_mb_goes_in_and_out_without_filling_memory(
    engine: PrivateEngine, root: Person, live_site: LiveSite, redis_url: str, tmp_path: Path
) -> None:
    host, web = registered(engine.address), live_site.children["web"].pid
    Path(f"/proc/{web}/clear_refs").write_text("5")  # the peak is measured from here on
    [load] = root.load([host], SIZE)
    assert root.upload(load, zeros("big:1", SIZE)).status_code == 200
    assert until(load, seconds=120).state == JobState.SUCCEEDED
    save = until(root.save(find(host, "big:1")), phase="waiting")
    with root.http.stream("GET", f"/transfers/{save.pk}/") as response:
        received = sum(len(piece) for piece in response.iter_raw())
    assert received > SIZE
    assert until(save, seconds=60).state == JobState.SUCCEEDED
    assert peak_mb(web) < MOST_MB
    with redis.Redis.from_url(redis_url) as client:
        assert client.info("memory")["used_memory_peak"] < MOST_REDIS_BYTES
    site_data = Path(live_site.environment["DATA_DIR"])
    assert sum(file.stat().st_size for file in site_data.rglob("*") if file.is_file()) < 100_000_000
