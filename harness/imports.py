"""What an import loads."""

from __future__ import annotations

import subprocess
import sys


def loaded_by(module: str, *, after: str = "") -> set[str]:
    """Return what importing ``module`` loads beyond what ``after`` has loaded, in a process of its own."""
    program = f"""
import sys
{f"import {after}; from airflow.sdk import DAG, BaseHook, BaseOperator, BaseSensorOperator" if after else ""}
before = set(sys.modules)
import {module}
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())
