"""Names as engines and people write them, and the key that joins the copies of one content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.references import InvalidReferenceError, content_key, parse


@pytest.mark.parametrize(
    ("name", "registry", "repository", "tag"),
    [
        ("redis:7", "docker.io", "redis", "7"),
        ("library/redis:7", "docker.io", "library/redis", "7"),
        ("team/app:1.0", "docker.io", "team/app", "1.0"),
        ("registry.example.org/team/app:1.0", "registry.example.org", "registry.example.org/team/app", "1.0"),
        (
            "registry.example.org:5000/app:1",
            "registry.example.org:5000",
            "registry.example.org:5000/app",
            "1",
        ),
        ("localhost/app:1", "localhost", "localhost/app", "1"),
        ("127.0.0.1:5000/a/b/c:x-y_z.1", "127.0.0.1:5000", "127.0.0.1:5000/a/b/c", "x-y_z.1"),
    ],
)
def test_reference_is_taken_apart(name: str, registry: str, repository: str, tag: str) -> None:
    parsed = parse(name)
    assert (parsed.registry, parsed.repository, parsed.tag, parsed.digest) == (registry, repository, tag, "")


def test_digest_reference_has_no_tag() -> None:
    digest = "sha256:" + "a" * 64
    parsed = parse(f"registry.example.org:5000/app@{digest}")
    assert (parsed.repository, parsed.tag, parsed.digest) == ("registry.example.org:5000/app", "", digest)


def test_name_with_tag_and_digest_keeps_both() -> None:
    digest = "sha256:" + "a" * 64
    parsed = parse(f"app:1@{digest}")
    assert (parsed.repository, parsed.tag, parsed.digest) == ("app", "1", digest)


@pytest.mark.parametrize("name", ["", "app/UPPER:1", "app:", "a b", "app@sha256:short", "-app:1"])
def test_what_is_no_reference_is_refused(name: str) -> None:
    with pytest.raises(InvalidReferenceError):
        parse(name)


@given(st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8})?:[a-z0-9]{1,8}", fullmatch=True))
def test_parts_make_the_name_again(name: str) -> None:
    parsed = parse(name)
    assert f"{parsed.repository}:{parsed.tag}" == name


GRAPH = {
    "Id": "sha256:config",
    "Architecture": "amd64",
    "Os": "linux",
    "Created": "2026-01-01T00:00:00Z",
    "Config": {
        "Env": ["A=1", "B=2"],
        "Cmd": ["run"],
        "Labels": {"x": "1", "y": "2"},
        "Hostname": "",
        "OnBuild": None,
    },
    "RootFS": {"Type": "layers", "Layers": ["sha256:1", "sha256:2"]},
    "Container": "only old engines",
}
CONTAINERD = {
    "Id": "sha256:manifest",
    "Architecture": "amd64",
    "Os": "linux",
    "Created": "2026-01-01T00:00:00Z",
    "Config": {"Cmd": ["run"], "Labels": {"y": "2", "x": "1"}, "Env": ["A=1", "B=2"], "Volumes": {}},
    "RootFS": {"Type": "layers", "Layers": ["sha256:1", "sha256:2"]},
    "Descriptor": {"digest": "sha256:manifest"},
}


def test_both_stores_give_one_key() -> None:
    assert content_key(GRAPH) == content_key(CONTAINERD)


@pytest.mark.parametrize(
    "change",
    [
        {"Architecture": "arm64"},
        {"Created": "2026-01-02T00:00:00Z"},
        {"RootFS": {"Layers": ["sha256:2", "sha256:1"]}},
        {"Config": {**GRAPH["Config"], "Env": ["B=2", "A=1"]}},  # type: ignore[dict-item]
        {"Author": "somebody"},
        {"Variant": "v8"},
    ],
)
def test_other_content_gives_another_key(change: dict[str, object]) -> None:
    assert content_key({**GRAPH, **change}) != content_key(GRAPH)


def test_year_one_is_no_date() -> None:
    assert content_key({**GRAPH, "Created": "0001-01-01T00:00:00Z"}) == content_key({**GRAPH, "Created": ""})


def test_partial_content_goes_by_digest_and_platform() -> None:
    partial = {**GRAPH, "RootFS": {}, "RepoDigests": ["app@sha256:aa"]}
    renamed = {**partial, "RepoDigests": ["other@sha256:aa"], "Id": "sha256:other"}
    assert content_key(partial) == content_key(renamed)
    assert content_key(partial) != content_key({**partial, "Architecture": "arm64"})
    assert content_key(partial) != content_key(GRAPH)


def test_image_without_layers_is_not_partial() -> None:
    scratch = {**GRAPH, "RootFS": {"Type": "layers"}}
    assert content_key(scratch) == content_key(
        {**scratch, "Id": "sha256:else", "RepoDigests": ["a@sha256:1"]}
    )
