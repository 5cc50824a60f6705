"""What the content security policy forbids must not be written, and every template must compile."""

import re
from pathlib import Path

import pytest
from django.template import engines
from django.template.library import import_library
from django.template.loader import get_template

BASE_DIR = Path(__file__).resolve().parent.parent.parent
FOLDER = BASE_DIR / "templates"
TEMPLATES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.html"))
TAG = re.compile(r"<[a-zA-Z][^>]*>", re.DOTALL)
COMMENT = re.compile(r"{#.*?#}|{% comment.*?endcomment %}", re.DOTALL)


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_compiles(name: str) -> None:
    assert get_template(name)


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_has_no_inline_script_or_style(name: str) -> None:
    text = COMMENT.sub("", (FOLDER / name).read_text())
    assert not re.search(r"<style\b", text)
    for script in re.findall(r"<script\b[^>]*>", text):
        assert "src=" in script or 'type="application/json"' in script, script
    for tag in TAG.findall(text):
        attributes = re.sub(r'"[^"]*"', '""', re.sub(r"'[^']*'", "''", re.sub(r"{[%{].*?[%}]}", "", tag)))
        assert not re.search(r"\s(style|on[a-z]+)\s*=", attributes), tag
        assert "javascript:" not in tag
        assert not re.search(r"hx-on|hx-vals=.js:|hx-headers=.js:", tag), tag


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_loads_nothing_from_elsewhere(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert not re.search(r"(src|action|srcset)=[\"'](https?:)?//", text)
    for link in re.findall(r"<link\b[^>]*>", text):
        assert "//" not in link


def test_own_scripts_build_no_markup_and_evaluate_nothing() -> None:
    for path in (BASE_DIR / "static" / "js").glob("*.js"):
        text = path.read_text()
        assert not re.search(
            r"\b(eval|document\.write|insertAdjacentHTML)\(|\.innerHTML\s*=|new Function\(", text
        ), path.name


def test_partials_are_a_builtin() -> None:
    assert (
        engines["django"].from_string("{% partialdef x %}a{% endpartialdef %}{% partial x %}").render() == "a"
    )


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_loads_only_libraries_that_it_uses(name: str) -> None:
    text = COMMENT.sub("", (FOLDER / name).read_text())
    known = {key: import_library(path) for key, path in engines["django"].engine.libraries.items()}  # type: ignore[attr-defined]
    for library in " ".join(re.findall(r"{% load ([^%]+?) %}", text)).split():
        words = [rf"{{% {tag}\b" for tag in known[library].tags] + [
            rf"\|{name}\b" for name in known[library].filters
        ]
        assert any(re.search(word, text) for word in words), f"{library} is loaded and not used"
