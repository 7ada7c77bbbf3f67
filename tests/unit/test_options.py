"""The one list of options: what derives from it, and what authors read of it elsewhere."""

from __future__ import annotations

import inspect
import re
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_timav.broadcast import Broadcast
from airflow_provider_timav.operators.broadcast import ReserveBroadcastOperator
from airflow_provider_timav.operators.push import StartPushOperator
from airflow_provider_timav.operators.record import StartRecordOperator
from airflow_provider_timav.options import NESTED, OPTIONS, TEMPLATED, BroadcastOptions, check_argument, or_default
from airflow_provider_timav.videorelay import bodies
from airflow_provider_timav.videorelay.errors import ConfigurationError
from harness.project import PROJECT

REQUIRED = {name for name in OPTIONS if name not in vars(BroadcastOptions)}
UNITS = {"h": "hours", "min": "minutes", "s": "seconds"}


class TestSignature:
    def test_names_types_and_defaults_are_those_of_the_list(self) -> None:
        signature = dict(inspect.signature(Broadcast).parameters)
        group_id, task_group = signature.pop("group_id"), signature.pop("task_group")
        listed = inspect.signature(BroadcastOptions).parameters
        assert list(signature) == list(listed)
        for name, parameter in signature.items():
            assert parameter == listed[name], name
        assert (group_id.default, group_id.kind) == ("broadcast", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        assert task_group.kind is inspect.Parameter.VAR_KEYWORD  # Airflow's own keywords of a group

    def test_the_docstring_explains_each_in_the_same_order(self) -> None:
        assert re.findall(r"^ *:param (\w+):", Broadcast.__doc__ or "", re.MULTILINE) == ["group_id", *OPTIONS]

    @pytest.mark.parametrize(
        ("operator", "option"), [(StartPushOperator, "push_options"), (StartRecordOperator, "record_options")]
    )
    def test_a_nested_option_holds_arguments_of_its_operator(self, operator: Any, option: str) -> None:
        assert set(bodies.OPTIONS[option]) <= set(operator.template_fields)


def option_rows() -> dict[str, tuple[str, str]]:
    """Return each option's default and meaning as the table in docs/broadcast.md words them."""
    docs = (PROJECT / "docs" / "broadcast.md").read_text(encoding="utf-8")
    table = docs.partition("| option | default | meaning |\n|---|---|---|\n")[2].partition("\n\n")[0]
    found: dict[str, tuple[str, str]] = {}
    for row in table.splitlines():
        _, names, defaults, meaning, _ = (cell.strip() for cell in re.split(r"(?<!\\)\|", row))
        named = re.findall(r"`(\w+)`", names)
        found |= {
            name: (default, meaning) for name, default in zip(named, defaults.split(", ") * len(named), strict=False)
        }
    return found


ROWS = option_rows()


class TestTable:
    def test_it_has_each_option_once_in_the_same_order(self) -> None:
        assert list(ROWS) == list(OPTIONS)

    @pytest.mark.parametrize("name", OPTIONS)
    def test_it_has_the_default(self, name: str) -> None:
        assert self.meant(ROWS[name][0]) == vars(BroadcastOptions).get(name)

    @staticmethod
    def meant(cell: str) -> Any:
        """Return the value that a cell of the table stands for; words that are no value stand for None."""
        if match := re.fullmatch(r"(\d+) (h|min|s)", cell):
            return timedelta(**{UNITS[match[2]]: int(match[1])})
        if match := re.fullmatch(r"`(.+)`", cell):
            return match[1]
        return {"true": True, "false": False}.get(cell)

    @pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.metadata.get("choices")])
    def test_it_has_each_choice(self, name: str) -> None:
        assert set(OPTIONS[name].metadata["choices"]) <= set(re.findall(r"`(\w+)`", " ".join(ROWS[name])))

    @pytest.mark.parametrize("name", NESTED)
    def test_it_has_each_entry(self, name: str) -> None:
        assert set(bodies.OPTIONS[name]) <= set(re.findall(r"`(\w+)`", ROWS[name][1]))


class TestRules:
    @pytest.mark.parametrize("name", TEMPLATED)
    def test_each_option_has_one_of_its_own_or_the_specifications(self, name: str) -> None:
        own = OPTIONS[name].metadata.get("rule") is not None or name in NESTED
        assert own is not (name in bodies.ARGUMENTS)

    @pytest.mark.parametrize("name", sorted(set(TEMPLATED) - set(NESTED)))
    def test_it_is_applied(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match=name) as refused:
            check_argument(name, object())
        assert refused.value.field == name

    @pytest.mark.parametrize("blank", [None, "", "None"])
    @pytest.mark.parametrize("name", sorted(set(TEMPLATED) - REQUIRED - {"timav_conn_id"}))
    def test_an_option_that_was_not_given_breaks_none(self, name: str, blank: Any) -> None:
        check_argument(name, blank)

    @pytest.mark.parametrize("blank", [None, ""])
    @pytest.mark.parametrize("name", sorted(REQUIRED | {"timav_conn_id"}))
    def test_room_host_and_connection_must_be_given(self, name: str, blank: Any) -> None:
        with pytest.raises(ConfigurationError, match=name):
            check_argument(name, blank)

    def test_a_default_breaks_none(self) -> None:
        for name in set(TEMPLATED) - REQUIRED:
            check_argument(name, vars(BroadcastOptions)[name])


class TestDefaults:
    @pytest.mark.parametrize("blank", ["", "None"])
    def test_an_option_that_rendered_to_nothing_has_its_default(self, blank: str) -> None:
        optional: dict[str, Any] = dict.fromkeys(OPTIONS.keys() - REQUIRED, blank)
        rendered = BroadcastOptions(room_id=1, user_id="a", **optional)
        assert rendered.filled() == BroadcastOptions(room_id=1, user_id="a")

    def test_none_counts_as_not_given(self) -> None:
        assert or_default(None, "wait_for_user") == timedelta(minutes=5)

    def test_none_never_skips(self) -> None:
        assert or_default(None, "skip_if_late") is None

    @pytest.mark.parametrize("value", [0, False, "0", [], 0.0])
    def test_a_value_stays(self, value: Any) -> None:
        assert or_default(value, "wait_for_user") == value

    def test_a_required_option_has_none(self) -> None:
        assert or_default("", "room_id") == ""


def test_reserve_renders_all_that_are_templated() -> None:
    assert set(ReserveBroadcastOperator.template_fields) == set(OPTIONS) - {"on_stall_callback"}


def test_a_password_is_in_no_repr() -> None:
    assert "0pen*sesame" not in repr(BroadcastOptions(room_id=1, user_id="a", player_password="0pen*sesame"))
