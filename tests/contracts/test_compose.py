"""docker-compose.yml and the Dockerfile, held to the rules that no tool checks for us."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.programs import programs

BASE_DIR = Path(__file__).resolve().parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if str(service["image"]).startswith("drydock")}
DOCKERFILE = (BASE_DIR / "Dockerfile").read_text()
SOCKET = "/var/run/docker.sock"


def test_every_program_of_make_run_is_a_service() -> None:
    names = {program.name for program in programs(port=1, data=Path())}
    assert names <= set(SERVICES)
    assert {"redis", "postgres", "migrate"} <= set(SERVICES)


def test_only_who_speaks_to_engines_has_the_engines_socket() -> None:
    with_socket = {name for name, service in SERVICES.items() if SOCKET in str(service.get("volumes"))}
    assert with_socket == {"worker-quick", "worker-engine", "watch"}
    assert all("DOCKER_GROUP" in str(SERVICES[name]["group_add"]) for name in with_socket)


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_checked_restarted_and_pinned(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":\d+(\.\d+)+", service["image"]), "a tag that names a version"
    if name != "migrate":
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"]


@pytest.mark.parametrize("name", OURS)
def test_own_service_has_few_rights_and_its_secrets_in_files(name: str) -> None:
    service = OURS[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "user" not in service
    for key, value in service["environment"].items():
        assert key.endswith("_FILE") or not re.search("SECRET_KEY|PASSWORD|KEYS|DATABASE_URL", key), value
    assert set(service["secrets"]) <= set(COMPOSE["secrets"])


def test_only_web_is_published_and_only_on_this_machine() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["web"]
    assert SERVICES["web"]["ports"] == ["${BIND:-127.0.0.1}:${PORT:-8000}:8000"]


def test_whose_word_on_addresses_is_taken_can_be_set_and_is_nobody_elses() -> None:
    assert SERVICES["web"]["environment"]["FORWARDED_ALLOW_IPS"] == "${FORWARDED_ALLOW_IPS:-127.0.0.1}"
    assert "forwarded-allow-ips" not in DOCKERFILE, "the option would win over the setting"


def test_image_does_not_run_as_root_and_is_pinned() -> None:
    last = DOCKERFILE.split("FROM ")[-1]
    assert re.search(r"^USER 10001$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    for image in re.findall(r"^ARG \w+_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE):
        assert re.search(r":\d+\.\d+\.\d+", image), image


def test_image_has_what_hosts_over_ssh_need() -> None:
    assert re.search(r'"openssh-client=1:[0-9]', DOCKERFILE.split("FROM ")[-1])


def test_secrets_are_made_once(tmp_path: Path) -> None:
    (tmp_path / "secrets.sh").write_text((BASE_DIR / "secrets.sh").read_text())
    made = []
    for _ in range(2):
        subprocess.run(["sh", "secrets.sh"], cwd=tmp_path, check=True)
        made.append({path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()})
    assert made[0] == made[1]
    assert set(made[0]) == set(COMPOSE["secrets"])
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert made[0]["database_password"] in made[0]["database_url"]
    assert not any(text.endswith("\n") for text in made[0].values())
