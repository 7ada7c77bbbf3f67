"""The earlier place of `harness.site`, for scripts outside of the project: the same module."""

from __future__ import annotations

import sys

from harness import site

sys.modules[__name__] = site
