"""P5: what a DAG file pays for naming an operator or the sensor, beyond ``airflow.sdk``."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Final

import airflow_provider_timav.operators
import airflow_provider_timav.sensors
from tests.acceptance.bench.probe import probe
from tests.acceptance.bench.report import Row, at_most

FORBIDDEN: Final = frozenset({"requests", "aiohttp", "m3u8", "TLSSigAPIv2", "tls_sig_api_v2"})
OWN_FORBIDDEN: Final = "airflow_provider_timav.videorelay."
OWN_ALLOWED: Final = "airflow_provider_timav.videorelay.errors"


@dataclass(frozen=True)
class _Import:
    """One module's import, over the rounds."""

    name: str
    ms: float
    sdk_ms: float
    ratio: float
    loaded: frozenset[str]

    @property
    def forbidden(self) -> list[str]:
        return sorted(
            name
            for name in self.loaded
            if name.partition(".")[0] in FORBIDDEN or (name.startswith(OWN_FORBIDDEN) and name != OWN_ALLOWED)
        )


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure `Broadcast` and every public module of operators and sensors; a row shows the dearest of them."""
    imports = list(_imports(rounds=1 if quick else 7))
    slowest = _most(imports, lambda one: one.ms)
    detail = f"{slowest.name} of {len(imports)} modules"
    yield at_most("P5", "import on top of airflow.sdk: the slowest", slowest.ms, 15, unit=" ms", detail=detail)
    relative = _most(imports, lambda one: one.ratio)
    detail = f"{relative.name}, airflow.sdk {relative.sdk_ms:.0f} ms"
    yield at_most("P5", "the same / the import of airflow.sdk", relative.ratio, 0.015, unit="x", detail=detail)
    largest = _most(imports, lambda one: len(one.loaded))
    yield Row(
        goal_id="P5",
        what="modules that an import adds",
        measured=f"{len(largest.loaded)} ({largest.name})",
        goal="25",
        met=len(largest.loaded) <= 25,
        exact=True,
    )
    forbidden = sorted({f"{one.name}: {module}" for one in imports for module in one.forbidden})
    yield Row(
        goal_id="P5",
        what="of these: HTTP clients, m3u8, signing, videorelay but its errors",
        measured=", ".join(forbidden) or "none",
        goal="none",
        met=not forbidden,
        exact=True,
    )


def _most(imports: list[_Import], figure: Callable[[_Import], float]) -> _Import:
    return max(imports, key=figure)


def _imports(rounds: int) -> Iterator[_Import]:
    names = [
        "airflow_provider_timav.broadcast",
        *(
            f"{package.__name__}.{module.name}"
            for package in (airflow_provider_timav.operators, airflow_provider_timav.sensors)
            for module in pkgutil.iter_modules(package.__path__)
            if not module.name.startswith("_")  # those are imported by the public ones, or once a task runs
        ),
    ]
    pieces = {name: f"import {name}" for name in names}
    # The first one writes the bytecode that later imports read, as they do in an installation.
    probes = [probe(pieces, turns=1) for _ in range(rounds + 1)][1:]
    for name in names:
        runs = [one.runs[name][0] for one in probes]
        yield _Import(
            name=name.removeprefix("airflow_provider_timav."),
            ms=median(run.seconds for run in runs) * 1000,
            sdk_ms=median(one.sdk_seconds for one in probes) * 1000,
            ratio=median(run.seconds / one.sdk_seconds for run, one in zip(runs, probes, strict=True)),
            loaded=frozenset(module for run in runs for module in run.loaded),
        )
