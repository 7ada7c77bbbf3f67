"""The package speaks the words of docs/glossary.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import airflow_provider_timav

PACKAGE = Path(airflow_provider_timav.__file__).parent
GLOSSARY = (PACKAGE.parent / "docs" / "glossary.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\*\*.+?) \| .+? \| (.*)\|$", GLOSSARY, re.MULTILINE)
BANNED = [(word, banned) for word, cell in ROWS for banned in re.findall(r"`([^`]+)`", cell)]

# hls.js is another project's.
TEXTS = {
    file.relative_to(PACKAGE.parent): file.read_text(encoding="utf-8")
    for pattern in ("**/*.py", "plugins/static/*.js")
    for file in sorted(PACKAGE.glob(pattern))
    if not file.name.startswith("hls")
}
DOCUMENTS = {file: file.read_text(encoding="utf-8") for file in sorted((PACKAGE.parent / "docs").glob("*.md"))}


def test_the_glossary_is_read() -> None:
    assert len(ROWS) > 20
    assert len(BANNED) >= 8
    assert len(TEXTS) > 100


@pytest.mark.parametrize(("word", "banned"), BANNED)
def test_one_word_for_one_thing(word: str, banned: str) -> None:
    pattern = re.compile(rf"(?<![\w`]){re.escape(banned)}(?!\w)", re.IGNORECASE)
    found = [
        f"{file}:{text[: match.start()].count(chr(10)) + 1}"
        for file, text in [*TEXTS.items(), *DOCUMENTS.items()]
        if file.name != "glossary.md"
        for match in pattern.finditer(text)
    ]
    assert found == [], f"say {word}"
