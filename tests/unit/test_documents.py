"""The documents lead where they say: each relative link to a file that is there, each anchor to a heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.project import PROJECT

DOCUMENTS = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")])


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


LINKS = [
    (document, link)
    for document in DOCUMENTS
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(document.read_text(encoding="utf-8")))
    if not link.startswith(("http://", "https://"))
]


def test_links_are_found() -> None:
    assert len(DOCUMENTS) > 12
    assert len(LINKS) > 60
    assert anchors("# `default_args`\n## What live means: it plays\n") == {"default_args", "what-live-means-it-plays"}


@pytest.mark.parametrize(
    ("document", "link"), LINKS, ids=[f"{document.relative_to(PROJECT)}-{link}" for document, link in LINKS]
)
def test_link_leads_somewhere(document: Path, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    assert target.is_relative_to(PROJECT.resolve())
    assert target.exists()
    assert not anchor or anchor in anchors(target.read_text(encoding="utf-8"))


def test_every_page_is_linked_from_another() -> None:
    linked = {(document.parent / link.partition("#")[0]).resolve() for document, link in LINKS}
    pages = {page.resolve() for page in PROJECT.glob("docs/*.md")}
    assert pages - linked == set()
