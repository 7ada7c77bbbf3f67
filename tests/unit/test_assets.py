"""Recordings as assets: how they are addressed, what is refused, and what OpenLineage is told."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, AssetAlias
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from airflow_provider_timav.assets import convert_asset_to_openlineage, create_asset, series_of
from airflow_provider_timav.broadcast import Broadcast

HOST = "timav://timav_default/10086/host_1/camera"


class TestAddress:
    def test_name_and_address_are_the_same_text(self) -> None:
        """An asset is found by both; one that is written as an address alone has it as its name, too."""
        asset = create_asset(room_id=10086, user_id="host_1")
        assert (asset.name, asset.uri) == (HOST, HOST)
        assert asset == Asset(uri=HOST)

    def test_what_an_address_cannot_hold_is_quoted(self) -> None:
        asset = create_asset(room_id=1, user_id="a/b @1", push_data_type="screen", timav_conn_id="my conn")
        assert asset.uri == "timav://my%20conn/1/a%2Fb%20%401/screen"
        assert Asset(uri=asset.uri).uri == asset.uri

    @pytest.mark.parametrize(
        ("address", "said"),
        [
            ("timav://timav_default", "the address of a timav asset is"),
            ("timav://timav_default/10086/host_1", "the address of a timav asset is"),
            ("timav://timav_default/room/host_1/camera", "the address of a timav asset is"),
            ("timav://timav_default/10086/host_1/audio", "the address of a timav asset is"),
            ("timav://timav_default/١٢/host_1/camera", "the address of a timav asset is"),
            (f"timav://timav_default/{'1' * 5000}/host_1/camera", "the address of a timav asset is"),
            ("timav://timav_default/10086//camera", "the address of a timav asset is"),
            ("timav://timav_default/010/host_1/camera", "write this address as timav://timav_default/10/host_1/camera"),
            ("timav://c/1/a b/camera", "write this address as timav://c/1/a%20b/camera"),
            ("timav://c/1/a/camera?x=1", "write this address as timav://c/1/a/camera"),
        ],
    )
    def test_one_that_no_recording_has_is_refused_when_the_dag_is_parsed(self, address: str, said: str) -> None:
        """It would never have an event, and nobody would be told."""
        with pytest.raises(ValueError, match=said):
            Asset(uri=address)

    @pytest.mark.parametrize("user_id", ["主持人", "节" * 1024, "a" * 1024, "~" * 700, "+86 138"])
    @pytest.mark.parametrize("timav_conn_id", ["timav_default", "连接" * 100])
    def test_any_user_has_one_on_any_database(
        self, user_id: str, timav_conn_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("airflow.sdk.definitions.asset.SQL_ALCHEMY_CONN", "mysql+mysqldb://x")
        asset = create_asset(room_id=2**32 - 1, user_id=user_id, timav_conn_id=timav_conn_id)
        assert asset.uri.isascii()
        assert Asset(uri=asset.uri) == asset
        assert asset != create_asset(room_id=2**32 - 1, user_id=user_id + "a", timav_conn_id=timav_conn_id)

    def test_airflow_knows_handler_factory_and_converter(self) -> None:
        known: Any = ProvidersManagerTaskRuntime()  # type: ignore[no-untyped-call]  # Airflow's
        assert known.asset_factories["timav"](room_id=10086, user_id="host_1").uri == HOST
        assert known.asset_uri_handlers["timav"].__name__ == "sanitize_uri"
        assert known.asset_to_openlineage_converters["timav"].__name__ == "convert_asset_to_openlineage"


class TestSeries:
    def test_a_broadcast_has_one_of_its_own(self) -> None:
        with DAG("friday", schedule=None):
            show = Broadcast("show", room_id=1, user_id="host", duration=60)
        assert show.recordings == AssetAlias("timav://recordings/friday/show")
        assert show["result"].outlets == [show.recordings]  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("dag_id", "group_id"),
        [
            ("早间节目", "broadcast"),
            ("show", "出镜"),
            ("节" * 250, "播" * 200),
            ("émission", "ü-c_d"),
            ("𠀀" * 250, "a"),
        ],
        ids=["dag", "group", "longest", "accents", "astral"],
    )
    def test_dag_ids_in_any_script_have_one_on_any_database(
        self, dag_id: str, group_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """MySQL's tables hold ASCII, and no database a name of more than 1500 characters."""
        monkeypatch.setattr("airflow.sdk.definitions.asset.SQL_ALCHEMY_CONN", "mysql+mysqldb://x")
        name = series_of(dag_id, group_id)
        assert AssetAlias(name).name == name
        assert name.isascii()
        assert name != series_of(dag_id + "a", group_id)
        with DAG(dag_id, schedule=None):
            assert Broadcast(group_id, room_id=1, user_id="host", duration=60).recordings.name == name

    def test_a_broadcast_that_is_never_recorded_has_no_outlet(self) -> None:
        with DAG("friday", schedule=None):
            show = Broadcast(room_id=1, user_id="host", duration=60, record=False)
        assert show["result"].outlets == []  # type: ignore[attr-defined]


@dataclass
class Dataset:
    """OpenLineage's, as far as it is used here."""

    namespace: str
    name: str


def test_openlineage_gets_connection_and_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client is no dependency: what Airflow's own compatibility module has of it is taken where it is used."""
    facet = ModuleType("airflow.providers.common.compat.openlineage.facet")
    facet.Dataset = Dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, facet.__name__, facet)
    found = convert_asset_to_openlineage(Asset(uri=HOST), None)
    assert found == Dataset("timav://timav_default", "10086/host_1/camera")
