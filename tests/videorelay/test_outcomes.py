"""The table of result codes, held against the specification, the field notes and the classified table."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest

from airflow_provider_timav.videorelay import errors
from airflow_provider_timav.videorelay.errors import TimAVError
from airflow_provider_timav.videorelay.outcomes import Action, Family, Layer, OutcomeClass, classify, table
from tests.data import FIELD_NOTES, SPECIFICATION, outcomes

RESULTS = {OutcomeClass.SUCCESS, OutcomeClass.GONE}


def codes(layer: str, *, family: str | None = None) -> set[int]:
    return {
        code
        for (owner, where, code) in table()
        if where == layer and code is not None and (family is None or owner == family)
    }


def test_body_codes_are_the_specifications_annex() -> None:
    push, _, record = SPECIFICATION.partition("## 0x6推流错误码说明")[2].partition("## 0x5录制错误码说明")
    numbers = re.compile(r"^\| (\d+) \|", re.MULTILINE)
    assert codes("body", family="push") == {int(code) for code in numbers.findall(push)}
    assert codes("body", family="record") == {int(code) for code in numbers.findall(record)}


def test_head_codes_are_the_common_heads() -> None:
    line = next(line for line in SPECIFICATION.splitlines() if line.startswith("| uint32_result | int/可选"))
    assert codes("head") == {int(code) for code in re.findall(r"-\d", line)}


def test_gateway_codes_are_the_field_notes() -> None:
    section = FIELD_NOTES.partition("## Gateway codes")[2].partition("\n## ")[0]
    assert codes("gateway") == {int(code) for code in re.findall(r"\b[67]0\d{3}\b", section)}


@pytest.mark.parametrize("row", outcomes(), ids=lambda row: f"{row['family']}-{row['layer']}-{row['code']}")
def test_row_is_classified_as_the_table_says(row: dict[str, str]) -> None:
    code = None if row["code"] == "*" else int(row["code"])
    ours = table()[row["family"], row["layer"], code]
    assert ours.executed == row["executed"]
    assert {action: str(kind) for action, kind in ours.classes.items()} == {
        action: row[f"on_{action}"] for action in get_args(Action) if row[f"on_{action}"]
    }
    assert ours.meaning
    assert ours.advice.endswith(".")
    assert not ours.error or issubclass(getattr(errors, ours.error), TimAVError)


def test_table_has_no_row_more() -> None:
    assert len(table()) == len(outcomes())


ASKED = [(family, action) for family in ("push", "record") for action in ("start", "stop")] + [("kick", "kick")]


@pytest.mark.parametrize(("family", "action"), ASKED, ids=[f"{family}-{action}" for family, action in ASKED])
@pytest.mark.parametrize("layer", get_args(Layer))
def test_unknown_code_is_never_a_success(family: Family, action: Action, layer: Layer) -> None:
    outcome = classify(family=family, layer=layer, code=987654321, action=action)
    assert outcome.outcome_class not in (*RESULTS, OutcomeClass.SUCCESS_INCOMPLETE)
    assert isinstance(outcome.error(), TimAVError)
    assert "987654321" in str(outcome.error())


def test_every_failure_has_an_error_that_says_what_to_do() -> None:
    for family, action in ASKED:
        for owner, layer, code in table():
            if owner not in (family, "any"):
                continue
            where: Any = layer
            asked_family: Any = family
            asked_action: Any = action
            outcome = classify(family=asked_family, layer=where, code=code or 1, action=asked_action)
            if outcome.outcome_class in RESULTS:
                continue
            error = outcome.error()
            assert outcome.row.advice in str(error)
            assert error.outcome_class == outcome.outcome_class
