"""docs/commands.md names every image command of docker's client as it is installed, and each of its options."""

import re
import subprocess
from pathlib import Path

import pytest

COMMANDS = Path(__file__).parents[2] / "docs" / "commands.md"
OPTION = re.compile(r"^\s+(?:(-\w), )?(--[a-z][a-z-]*)", re.MULTILINE)
# The heading that a command stands below, where it is another word.
BELOW = {"ls": "images, image ls", "rm": "rmi, image rm", "prune": "image prune", "inspect": "image inspect",
         "build": "build, buildx build"}  # fmt: skip

pytestmark = pytest.mark.client


def help_of(*words: str) -> str:
    told = subprocess.run(["docker", *words, "--help"], capture_output=True, text=True, check=True)
    return told.stdout


def sections() -> dict[str, str]:
    found = {}
    for part in re.split(r"^## ", COMMANDS.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        found[heading] = body
    return found


def is_named(body: str, option: str) -> bool:
    """By itself, or by a star that stands for several of a family."""
    families = [star.rstrip("*") for star in re.findall(r"`(--[a-z-]+\*)`", body)]
    return bool(re.search(rf"`{option}[`= ]", body)) or any(option.startswith(each) for each in families)


def test_every_image_command_and_each_of_its_options_is_in_the_table() -> None:
    _, _, listed = help_of("image").partition("Commands:\n")
    commands = re.findall(r"^  ([a-z]+)\*? ", listed, re.MULTILINE)
    assert {"pull", "push", "build", "ls"} <= set(commands)
    told = sections()
    missing = []
    for command in commands:
        body = told[BELOW.get(command, command)]
        for short, option in OPTION.findall(help_of("image", command)):
            if not any(is_named(body, each) for each in (short, option) if each):
                missing.append(f"{command} {option}")
    assert not missing
