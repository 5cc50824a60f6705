"""Every string of Drydock is there in every language, said in full."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polib
import pytest

BASE_DIR = Path(__file__).resolve().parent.parent.parent
LANGUAGES = ["zh_Hans"]
needs_gettext = pytest.mark.gettext


def catalogue(language: str) -> Path:
    return BASE_DIR / "config" / "locale" / language / "LC_MESSAGES" / "django.po"


@pytest.fixture(scope="session")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> polib.POFile:
    """What the code asks to have translated now, collected from a copy of it."""
    copy = tmp_path_factory.mktemp("strings")
    for name in ("config", "images", "cleanup", "templates"):
        shutil.copytree(
            BASE_DIR / name, copy / name, ignore=shutil.ignore_patterns("*.pyc", "demo", "*.po", "*.mo")
        )
    shutil.copy(BASE_DIR / "manage.py", copy)
    (copy / "config" / "locale").mkdir(exist_ok=True)
    subprocess.run(
        [sys.executable, "manage.py", "makemessages", "--locale", "zh_Hans", "--no-location"],
        cwd=copy, check=True, capture_output=True,
        # The copy has no tests, so it has no settings of theirs.
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings", "DATA_DIR": str(copy / "data")},
    )  # fmt: skip
    return polib.pofile(str(copy / "config" / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"))


@needs_gettext
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_string_is_translated(language: str, wanted: polib.POFile) -> None:
    assert catalogue(language).exists(), f"there are no translations: {len(wanted)} strings are missing"
    done = {
        (entry.msgctxt, entry.msgid) for entry in polib.pofile(str(catalogue(language))) if is_done(entry)
    }
    missing = [entry.msgid for entry in wanted if (entry.msgctxt, entry.msgid) not in done]
    assert not missing, f"{len(missing)} strings are missing, such as {missing[:10]}"


def is_done(entry: polib.POEntry) -> bool:
    texts = list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]
    return not entry.obsolete and "fuzzy" not in entry.flags and bool(texts) and all(texts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_name_the_same_values(language: str) -> None:
    """A translation that drops or misspells `%(count)s` would fail, or hide a number, on the page."""
    if not catalogue(language).exists():
        pytest.fail("there are no translations")
    catalogued = polib.pofile(str(catalogue(language)))
    wrong = [entry.msgid for entry in catalogued if is_done(entry) and not names_the_same(entry)]
    assert not wrong


def names_the_same(entry: polib.POEntry) -> bool:
    """A plural form may leave the number out ("one image"), and only that."""
    if entry.msgid_plural:
        return all(
            values(text) <= values(entry.msgid, entry.msgid_plural) for text in entry.msgstr_plural.values()
        )
    return values(entry.msgstr) == values(entry.msgid)


def values(*texts: str) -> set[str]:
    return {name for text in texts for name in re.findall(r"%\((\w+)\)", text)}


def test_strings_are_marked_by_names_that_are_collected() -> None:
    """xgettext knows `gettext` and its like by name, and `_`; what is marked by another name is never translated."""
    alias = re.compile(r"^from django\.utils\.translation import .*\b\w+ as (?!_\b)(\w+)", re.MULTILINE)
    found = {
        str(path.relative_to(BASE_DIR)): alias.findall(path.read_text())
        for room in ("config", "images", "cleanup")
        for path in (BASE_DIR / room).rglob("*.py")
    }
    assert not {path: names for path, names in found.items() if names}
