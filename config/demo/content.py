"""What the demo's engines hold: some 40 images of a small shop, in all the shapes that make cleaning up hard.

Everything here is real on the engines, bytes included; only the dates of use are written, in seed.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import docker

from config.demo import images
from config.demo.images import Image, Layer, Step

MB = 1_000_000
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


# The bottoms that everything else stands on; each is the same diff wherever it is used.
ALPINE = Layer(
    "rootfs/alpine", 3 * MB, "/bin/sh -c #(nop) ADD file:alpine-minirootfs.tar.gz in /", tools=True
)
DEBIAN = Layer("rootfs/debian", 74 * MB, "# debian.sh --arch 'amd64' out/ 'bookworm'", tools=True)
PYTHON = Layer("usr/local/lib/python3.11", 46 * MB, "RUN /bin/sh -c set -eux; ./configure && make install")
NODE = Layer("usr/local/lib/node", 62 * MB, "RUN /bin/sh -c set -eux; install node 22")
JVM = Layer("opt/java/openjdk", 118 * MB, "RUN /bin/sh -c set -eux; install temurin 21")


def base(name: str, *layers: Layer, days: float, references: tuple[str, ...] = ()) -> Image:
    steps: list[Layer | Step] = [*layers, Step('CMD ["sh"]')]
    return Image([name, *references], steps, created_at=days_ago(days))


def service(
    name: str,
    *bottom: Layer,
    packages: tuple[str, int],
    code: tuple[str, int],
    days: float,
    also: tuple[str, ...] = (),
    labels: dict[str, str] | None = None,
    port: int = 8080,
) -> Image:
    """An application as a Dockerfile makes it: bottom, packages, code. Equal packages share a layer."""
    team = name.split("/")[0]
    steps: list[Layer | Step] = [
        *bottom,
        Step("WORKDIR /app"),
        Layer(f"app/vendor/{packages[0]}", packages[1], f"RUN /bin/sh -c install -r {packages[0]}"),
        Layer(f"app/src/{code[0]}", code[1], "COPY . /app"),
        Step(f"EXPOSE map[{port}/tcp:{{}}]"),
        Step('CMD ["/app/serve"]'),
    ]
    config = {
        "WorkingDir": "/app",
        "ExposedPorts": {f"{port}/tcp": {}},
        "User": "1000",
        "Cmd": ["/app/serve"],
    }
    all_labels = {"org.opencontainers.image.vendor": team, **(labels or {})}
    return Image([name, *also], steps, created_at=days_ago(days), labels=all_labels, config=config)


def api(version: str, days: float, *also: str, build: int = 0) -> Image:
    """The series that versions rules are about; minor versions share their packages."""
    minor = version.rsplit(".", 1)[0]
    return service(
        f"shop/api:{version}",
        DEBIAN,
        PYTHON,
        packages=(f"api-{minor}", 58 * MB),
        code=(f"api-{version}-{build}", 9 * MB),
        days=days,
        also=also,
        labels={"app.version": version},
    )


def web(version: str, days: float, *also: str) -> Image:
    return service(
        f"shop/web:{version}",
        ALPINE,
        NODE,
        packages=("web-modules", 88 * MB),
        code=(f"web-{version}", 14 * MB),
        days=days,
        also=also,
        port=3000,
    )


def worker(version: str, days: float, *also: str) -> Image:
    return service(
        f"shop/worker:{version}",
        DEBIAN,
        PYTHON,
        packages=("api-2.1", 58 * MB),
        code=(f"worker-{version}", 6 * MB),
        days=days,
        also=also,
    )


def ci_build(name: str, number: int, days: float) -> Image:
    """A feature branch's image: the packages of the series, its own code, a commit for a tag."""
    tag = f"{number * 7919 + 104729:x}"
    return service(
        f"registry.example.com/ci/{name}:{tag}",
        DEBIAN,
        PYTHON,
        packages=("api-2.1", 58 * MB),
        code=(f"{name}-{tag}", 21 * MB),
        days=days,
        labels={"ci.pipeline": str(4000 + number), "ci.branch": "feature"},
    )


POSTGRES = service(
    "postgres:16.4",
    DEBIAN,
    packages=("postgresql-16", 142 * MB),
    code=("pg-entrypoint", 1 * MB),
    days=70,
    port=5432,
)
REDIS = service(
    "redis:7.4-alpine",
    ALPINE,
    packages=("redis-7.4", 21 * MB),
    code=("redis-run", 1 * MB),
    days=90,
    port=6379,
)
NGINX = service(
    "nginx:1.27", DEBIAN, packages=("nginx-1.27", 33 * MB), code=("nginx-conf", 1 * MB), days=45, port=80
)
OLD_NGINX = service(
    "nginx:1.21", DEBIAN, packages=("nginx-1.21", 31 * MB), code=("nginx-conf", 1 * MB), days=900, port=80
)
REPORTS = service(
    "shop/reports:1.0.0",
    DEBIAN,
    JVM,
    packages=("reports-jars", 190 * MB),
    code=("reports-1.0.0", 24 * MB),
    days=400,
    labels={"keep": "yes"},
)
MODEL = Image(
    ["research/recommender:2025-11"],
    [
        DEBIAN,
        PYTHON,
        Layer("opt/model/weights.bin", 640 * MB, "COPY weights.bin /opt/model/"),
        Step("CMD serve"),
    ],
    created_at=days_ago(240),
    labels={"team": "research"},
)


@dataclass(frozen=True)
class ContainerPlan:
    name: str
    image: str
    is_running: bool = True


@dataclass(frozen=True)
class EngineContent:
    """Everything one engine gets. `also` makes what an archive can not hold: builds and dangling images."""

    name: str
    images: tuple[Image, ...]
    containers: tuple[ContainerPlan, ...] = ()
    also: tuple[Callable[[docker.APIClient], Any], ...] = field(default=())


def moved_tag(api_client: docker.APIClient) -> None:
    """What rebuilding `latest` leaves behind: two dangling images."""
    for build in (1, 2):
        images.load_dangling(api_client, api("2.1.0", 9 - build, build=build))


def classic_build(api_client: docker.APIClient) -> None:
    """The classic builder keeps an untagged parent for every step; a second build leaves one dangling."""
    for version in (b"one", b"two"):
        images.build(
            api_client,
            "FROM alpine:3.20\nCOPY tools /opt/tools\nRUN echo compiled > /opt/result\n"
            'COPY version /version\nLABEL stage=final\nCMD ["sh"]\n',
            tag="ops/toolbox:dev",
            files={"tools": bytes(12 * MB), "version": version},
        )


def buildkit_build(api_client: docker.APIClient) -> None:
    """Its cache holds layers back until it is pruned."""
    images.build(
        api_client,
        "FROM alpine:3.20\nCOPY report /report\nRUN cp /report /copy\n",
        tag="ci/lint:latest",
        files={"report": bytes(5 * MB)},
        buildkit=True,
    )


ALPINE_IMAGE = base("alpine:3.20", ALPINE, days=60)
DEBIAN_IMAGE = base("debian:bookworm", DEBIAN, days=50, references=("debian:12",))
PYTHON_IMAGE = base("python:3.11-slim", DEBIAN, PYTHON, days=48)

PRODUCTION_1 = EngineContent(
    "prod-eu-1",
    (
        api("1.8.4", 310),
        api("1.9.0", 260),
        api("2.0.0", 120),
        api("2.0.1", 95),
        api("2.1.0", 12, "shop/api:stable"),
        api("2.2.0-rc1", 3),
        web("3.4.0", 130),
        web("3.5.0", 40),
        web("3.6.0", 10, "shop/web:latest"),
        worker("2.1.0", 12),
        NGINX,
        OLD_NGINX,
        REDIS,
        POSTGRES,
    ),
    (
        ContainerPlan("api-1", "shop/api:2.1.0"),
        ContainerPlan("api-2", "shop/api:2.1.0"),
        ContainerPlan("web", "shop/web:3.6.0"),
        ContainerPlan("worker", "shop/worker:2.1.0"),
        ContainerPlan("proxy", "nginx:1.27"),
        ContainerPlan("cache", "redis:7.4-alpine"),
        ContainerPlan("old-proxy", "nginx:1.21", is_running=False),
    ),
    (moved_tag,),
)
PRODUCTION_2 = EngineContent(
    "prod-eu-2",
    (
        api("2.0.1", 95),
        api("2.1.0", 12, "shop/api:stable"),
        web("3.5.0", 40),
        web("3.6.0", 10, "shop/web:latest"),
        worker("2.0.1", 95),
        worker("2.1.0", 12, "shop/worker:latest"),
        POSTGRES,
        REDIS,
        REPORTS,
        MODEL,
    ),
    (
        ContainerPlan("api-3", "shop/api:2.1.0"),
        ContainerPlan("worker", "shop/worker:2.1.0"),
        ContainerPlan("database", "postgres:16.4"),
        ContainerPlan("migrate", "shop/api:2.0.1", is_running=False),
    ),
)
CI_RUNNER = EngineContent(
    "ci-runner-1",
    (
        ALPINE_IMAGE,
        DEBIAN_IMAGE,
        PYTHON_IMAGE,
        base("node:22-alpine", ALPINE, NODE, days=33),
        *(ci_build("api", number, days=number * 6 + 1) for number in range(1, 9)),
        *(ci_build("worker", number, days=number * 9 + 2) for number in range(11, 14)),
        api("2.1.0", 12),
        POSTGRES,
    ),
    (
        ContainerPlan("service-db", "postgres:16.4"),
        ContainerPlan("lint-run-88", "ci/lint:latest", is_running=False),
    ),
    (classic_build, buildkit_build, moved_tag),
)
ENGINES = (PRODUCTION_1, PRODUCTION_2, CI_RUNNER)


def fill(api_client: docker.APIClient, content: EngineContent) -> None:
    """Loads, builds and starts it all, on an empty engine."""
    images.load(api_client, *content.images)
    for make in content.also:
        make(api_client)
    for plan in content.containers:
        run(api_client, plan)


def run(api_client: docker.APIClient, plan: ContainerPlan) -> None:
    """Running ones come back when the engine starts again; the others have ended."""
    if plan.is_running:
        images.run_container(api_client, plan.image, plan.name, restart_policy={"Name": "always"})
    else:
        images.run_container(api_client, plan.image, plan.name, command=["/bin/busybox", "true"])
