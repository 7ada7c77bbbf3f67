"""The earlier place of `harness.rest`, for scripts outside of the project: the same module."""

from __future__ import annotations

import sys

from harness import rest

sys.modules[__name__] = rest
