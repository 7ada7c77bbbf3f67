"""The table of result codes, held against the specification, the field notes and the classified table."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest

from airflow_provider_timav.videorelay import errors
from airflow_provider_timav.videorelay.calls import OPERATIONS
from airflow_provider_timav.videorelay.errors import TimAVError
from airflow_provider_timav.videorelay.outcomes import Action, Layer, OutcomeClass, classify, table
from tests.data import FIELD_NOTES, SPECIFICATION, outcomes

# What of the field notes' gateway codes came after the classified table: each "belongs to the class of 70003".
LATER = FIELD_NOTES.partition("More codes by which")[2].partition("They belong to the class of 70003")[0]
HUNDREDS = ("700xx", "703xx")

RESULTS = {OutcomeClass.SUCCESS, OutcomeClass.GONE}


def codes(layer: str, *, family: str | None = None) -> set[int]:
    return {
        code
        for (owner, where, code) in table()
        if where == layer and isinstance(code, int) and (family is None or owner == family)
    }


def test_body_codes_of_the_specifications_annex_are_listed() -> None:
    push, _, record = SPECIFICATION.partition("## 0x6推流错误码说明")[2].partition("## 0x5录制错误码说明")
    numbers = re.compile(r"^\| (\d+) \|", re.MULTILINE)
    assert codes("body", family="push") >= {int(code) for code in numbers.findall(push)}
    assert codes("body", family="record") >= {int(code) for code in numbers.findall(record)}


def test_head_codes_are_the_common_heads() -> None:
    line = next(line for line in SPECIFICATION.splitlines() if line.startswith("| uint32_result | int/可选"))
    assert codes("head") == {int(code) for code in re.findall(r"-\d", line)}


def test_gateway_codes_of_the_field_notes_are_listed() -> None:
    section = FIELD_NOTES.partition("## Gateway codes")[2].partition("\n## ")[0]
    assert codes("gateway") >= {int(code) for code in re.findall(r"\b(?:[67]0\d{3}|20002)\b", section)}


def later() -> set[int]:
    return {int(code) for code in re.findall(r"\b\d{5}\b", LATER)}


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
    """Beside the classified table: the later codes of the field notes, and the two hundreds that they name.

    A code that the vendor adds has a row in both tables: the specification's text stays as it was published.
    """
    assert len(later()) == 16
    assert len(table()) == len(outcomes()) + len(later()) + len(HUNDREDS)


@pytest.mark.parametrize("code", [*sorted(later()), 70099, 70021, 70300, 70399])
@pytest.mark.parametrize(("family", "action"), [("push", "start"), ("record", "stop"), ("room", "remove")])
def test_later_codes_refuse_as_70003_does(code: int, family: str, action: Action) -> None:
    """Listed or not: by these, the vendor's account system refuses, and nothing was executed."""
    ours = classify(family=family, layer="gateway", code=code, action=action)
    model = classify(family=family, layer="gateway", code=70003, action=action)
    assert ours.outcome_class is model.outcome_class is OutcomeClass.CREDENTIAL
    error = ours.error()
    assert (type(error), error.executed, error.code) == (errors.CredentialError, "no", code)
    assert ("lacks" in str(error)) is (code not in later())


@pytest.mark.parametrize("code", [70100, 70199, 70401, 70499, 7003, 700030, 60022, 2**31])
def test_other_codes_that_the_table_lacks_stay_unknown(code: int) -> None:
    outcome = classify(family="push", layer="gateway", code=code, action="start")
    assert (outcome.outcome_class, outcome.row.executed) == (OutcomeClass.AMBIGUOUS, "maybe")


@pytest.mark.parametrize("layer", ["head", "body"])
def test_hundreds_are_the_gateways(layer: Layer) -> None:
    assert classify(family="push", layer=layer, code=70099, action="start").row.executed == "maybe"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("third-party check failed", OutcomeClass.CREDENTIAL),
        ("", OutcomeClass.CREDENTIAL),
        ("third-party check timed out", OutcomeClass.RETRY),
        ("check timeout", OutcomeClass.RETRY),
        ("第三方校验超时", OutcomeClass.RETRY),
    ],
)
def test_third_party_check_that_took_too_long_is_worth_a_retry(said: str, kind: OutcomeClass) -> None:
    outcome = classify(family="push", layer="gateway", code=70017, action="start", said=said)
    assert (outcome.outcome_class, outcome.error().executed, outcome.error().code) == (kind, "no", 70017)


ASKED = [(operation.family, operation.action) for operation in OPERATIONS.values()]


@pytest.mark.parametrize(("family", "action"), ASKED, ids=[f"{family}-{action}" for family, action in ASKED])
@pytest.mark.parametrize("layer", get_args(Layer))
def test_unknown_code_is_never_a_success(family: str, action: Action, layer: Layer) -> None:
    outcome = classify(family=family, layer=layer, code=987654321, action=action)
    assert outcome.outcome_class not in (*RESULTS, OutcomeClass.SUCCESS_INCOMPLETE)
    assert isinstance(outcome.error(), TimAVError)
    assert "987654321" in str(outcome.error())


def test_families_of_the_table_are_those_of_the_operations() -> None:
    assert {owner for owner, _, _ in table()} <= {operation.family for operation in OPERATIONS.values()} | {"any"}


def test_every_failure_has_an_error_that_says_what_to_do() -> None:
    for family, action in ASKED:
        for owner, layer, code in table():
            if owner not in (family, "any"):
                continue
            number = int(code.replace("x", "9")) if isinstance(code, str) else code or 1
            where: Any = layer
            outcome = classify(family=family, layer=where, code=number, action=action)
            if outcome.outcome_class in RESULTS:
                continue
            error = outcome.error()
            assert outcome.row.advice in str(error)
            assert error.outcome_class == outcome.outcome_class
