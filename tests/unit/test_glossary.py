"""The project speaks the words of docs/glossary.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.project import PROJECT

GLOSSARY = (PROJECT / "docs" / "glossary.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\S.*?) \| .+? \| (.*)\|$", GLOSSARY, re.MULTILINE)
BANNED = [(word, banned) for word, cell in ROWS for banned in re.findall(r"`([^`]+)`", cell)]


def read(*patterns: str) -> dict[Path, str]:
    return {
        file.relative_to(PROJECT): file.read_text(encoding="utf-8")
        for pattern in patterns
        for file in sorted(PROJECT.glob(pattern))
    }


def without_logs(texts: dict[Path, str]) -> dict[Path, str]:
    """Blank what documents quote of the package's output, which is the package's own text, and keep the lines' numbers."""
    return {
        file: re.sub(r"^```text.*?^```$", lambda log: "\n" * log[0].count("\n"), text, flags=re.DOTALL | re.MULTILINE)
        for file, text in texts.items()
    }


# hls.js is another project's.
PACKAGE = {
    file: text
    for file, text in read("airflow_provider_timav/**/*.py", "airflow_provider_timav/plugins/static/*.js").items()
    if not file.name.startswith("hls.light")
}
DOCUMENTS = {
    file: text
    for file, text in without_logs(read("*.md", "docs/*.md")).items()
    if file.name != "glossary.md" and not file.name.endswith("-matrix.md")
}
EXAMPLES = read("example_dags/**/*.py")
TESTS = {
    file: text
    for file, text in read("harness/**/*.py", "scripts/**/*.py", "tests/**/*.py", "docs/*-matrix.md").items()
    if file.name != "test_glossary.py"
}

SAID_IN_TESTS = {
    *("whoever", "nobody", "somebody"),
    *("looking", "a look at", "one look", "each look"),
    *("ask again", "asking again", "asks again"),
    *("the show", "class Ended"),
}
"""Words from which tests, harness and scripts are excused, and the documents that they write."""


def test_the_glossary_is_read() -> None:
    assert len(ROWS) > 30
    assert len(BANNED) > 20
    assert {banned for _, banned in BANNED} >= SAID_IN_TESTS
    assert len(PACKAGE) > 100
    assert len(DOCUMENTS) > 10
    assert len(EXAMPLES) > 5
    assert len(TESTS) > 100


@pytest.mark.parametrize(("word", "banned"), BANNED)
def test_one_word_for_one_thing(word: str, banned: str) -> None:
    pattern = re.compile(rf"(?<![\w`]){re.escape(banned)}(?!\w)", re.IGNORECASE)
    texts = PACKAGE | DOCUMENTS | EXAMPLES | ({} if banned in SAID_IN_TESTS else TESTS)
    found = [
        f"{file}:{text[: match.start()].count(chr(10)) + 1}"
        for file, text in texts.items()
        for match in pattern.finditer(text)
    ]
    assert found == [], f"say {word}"
