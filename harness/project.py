"""Where the project's own files are, for tests and scripts that read or run them."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
EXAMPLES = PROJECT / "example_dags"
