"""How fast each layer of a pull or push moves, and how long it will take."""

import re

import pytest
from django.test import Client

from images.engine.transfer import Layers, Line, _line
from images.models import Host, Job, User
from tests import factories

pytestmark = pytest.mark.django_db
MB = 1_000_000


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def moving(state: str = "Downloading") -> tuple[Layers, Clock]:
    """Two layers of 20 MB after 4 s: one came with 2 MB a second, the other waits."""
    clock = Clock()
    layers = Layers(clock)
    layers.take(Line("b", "Waiting"))
    for second in range(5):
        clock.now = 100 + second
        layers.take(Line("a", state, 2 * MB * second, 20 * MB))
    return layers, clock


@pytest.mark.parametrize("state", ["Downloading", "Pushing"])
def test_layer_that_moves_tells_its_rate_and_time_left(state: str) -> None:
    layers, _ = moving(state)
    waits, moves = layers.as_json()
    assert (moves["rate"], moves["left"]) == (pytest.approx(2 * MB), pytest.approx(6))
    assert (waits["rate"], waits["left"]) == (0, None)


def test_layer_that_came_to_a_halt_slows_down_though_the_engine_says_nothing() -> None:
    layers, clock = moving()
    for _ in range(20):
        clock.now += 1
        [_waits, moves] = layers.as_json()
    assert moves["rate"] < 10_000


def test_layer_that_has_come_tells_no_rate_any_more() -> None:
    layers, _ = moving()
    layers.take(Line("a", "Extracting", 1, 20 * MB))
    assert (layers.as_json()[1]["rate"], layers.as_json()[1]["left"]) == (0, None)


def test_seconds_of_unpacking_are_not_taken_for_bytes() -> None:
    layers, _ = moving()
    layers.take(_line({"id": "a", "status": "Extracting", "progressDetail": {"current": 7, "units": "s"}}))
    layer = layers.as_json()[1]
    assert (layer["state"], layer["extracted"], layer["total"]) == ("extracting", 0, 20 * MB)


@pytest.fixture
def vera(host: Host) -> User:
    return factories.make_admin("vera")


@pytest.fixture
def host(db: None) -> Host:
    return factories.make_host()


def shown(client: Client, host: Host, state: str, layers: Layers) -> str:
    detail = {"layers": layers.as_json()}
    job = Job.objects.create(host=host, kind="pull", state=state, detail=detail, progress_unit="bytes")
    return client.get(f"/jobs/{job.pk}/").content.decode()


def rows(client: Client, host: Host, state: str, layers: Layers) -> list[str]:
    return re.findall(r'<tr id="layer_.*?</tr>', shown(client, host, state, layers), re.DOTALL)


def test_page_shows_rate_and_time_left_beside_each_bar(client: Client, vera: User, host: Host) -> None:
    client.force_login(vera)
    layers, _ = moving()
    waits, moves = rows(client, host, "running", layers)
    assert "2.00 MB/s, 6 s left" in moves
    assert "B/s" not in waits
    assert "left" not in waits


def test_page_of_an_ended_job_shows_no_rate(client: Client, vera: User, host: Host) -> None:
    client.force_login(vera)
    ended = rows(client, host, "failed", moving()[0])
    assert len(ended) == 2
    assert not [row for row in ended if "B/s" in row or "left" in row]


def test_bar_of_a_layer_that_is_unpacked_by_the_second_stands_for_no_number(
    client: Client, vera: User, host: Host
) -> None:
    client.force_login(vera)
    layers, _ = moving()
    layers.take(Line("a", "Extracting"))
    assert '<progress aria-label="a">' in rows(client, host, "running", layers)[1]


def test_whole_says_no_rate_once_all_has_come(client: Client, vera: User, host: Host) -> None:
    job = Job.objects.create(
        host=host, kind="pull", state="running", progress_unit="bytes", progress_done=5 * MB,
        progress_total=5 * MB, progress_rate=2 * MB,
    )  # fmt: skip
    client.force_login(vera)
    text = client.get(f"/jobs/{job.pk}/").content.decode()
    assert "MB/s" not in text
    assert " left" not in text.partition("job-numbers")[2].partition("</div>")[0]


def test_layers_of_unknown_size_are_said_because_total_and_time_left_lack_them(
    client: Client, vera: User, host: Host
) -> None:
    client.force_login(vera)
    layers, _ = moving()
    assert "The size of 1 that waits is not known yet" in shown(client, host, "running", layers)
    layers.take(Line("b", "Downloading", 1, 5 * MB))
    assert "not known yet" not in shown(client, host, "running", layers)


def test_load_tells_how_far_each_layer_is_unpacked(client: Client, vera: User, host: Host) -> None:
    client.force_login(vera)
    layers = Layers()
    layers.take(Line("a", "Loading layer", 5 * MB, 5 * MB))
    layers.take(Line("b", "Loading layer", 3 * MB, 20 * MB))
    over, under_way = rows(client, host, "running", layers)
    assert "Done" in over
    assert "Unpacking" in under_way
    assert f'value="{3 * MB}" max="{20 * MB}"' in under_way
