"""What `make demo` prints is what the README shows."""

from __future__ import annotations

import re

import pytest

from harness.project import PROJECT
from tests.system.demo import Demo

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

VARYING = {
    r"^ *\d+:\d\d  ": "m:ss  ",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00": "TIME",
    r"127\.0\.0\.1:\d+": "127.0.0.1:PORT",
    r"\b10086_[0-9a-f]{12}\b": "10086_NAME",
    r"\b\d{19}\b": "FILE_ID",
}


def masked(text: str) -> list[str]:
    """The lines of the demo's output, without what is another each time: times, ports, names, ids, which stop comes first."""
    for pattern, word in VARYING.items():
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    lines = [line.rstrip() for line in text.strip().splitlines()]
    stops = iter(sorted(line for line in lines if line.startswith("m:ss  stop_")))  # two tasks side by side
    return [next(stops) if line.startswith("m:ss  stop_") else line for line in lines]


def shown() -> str:
    """The block of the README that shows the demo's output."""
    readme = (PROJECT / "README.md").read_text()
    block = re.search(r"^```text demo\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
    assert block, "README.md has no block that begins with ```text demo: put the output of `make demo` there"
    return block[1]


def test_masking_leaves_what_matters() -> None:
    lines = """
 0:08  start_push    a is not in room 10086 (code 40000411). Next poll at 2026-11-23T22:59:27+00:00.
10:57  stop_record   File ids (complete): 5285890803757278097. At http://127.0.0.1:41183/a, 10086_6bfa06fdc0ad.
10:58  stop_push     stopped.
"""
    assert masked(lines) == [
        "m:ss  start_push    a is not in room 10086 (code 40000411). Next poll at TIME.",
        "m:ss  stop_push     stopped.",
        "m:ss  stop_record   File ids (complete): FILE_ID. At http://127.0.0.1:PORT/a, 10086_NAME.",
    ]


def test_the_demo_prints_what_the_readme_shows(demo: Demo) -> None:
    """In a copy of the project and with an empty home folder; the exit status tells that the broadcast succeeded."""
    done = demo.wait()
    assert done.status == 0, done.output
    assert masked(done.output) == masked(shown())
    assert (demo.project / ".demo" / "airflow.db").is_file()
    assert list(demo.home.iterdir()) == []
