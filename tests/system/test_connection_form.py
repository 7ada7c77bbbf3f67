"""The connection, as a person meets it: the form's fields, what is shown when it is opened again, what the Test button says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_timav.emulator import Certificates, Emulator
from harness.canary import Canaries
from harness.eavesdropper import Eavesdropper
from harness.service import connect
from harness.site import AirflowSite, free_port

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

NOW = datetime.now(UTC)
FOREIGN = Certificates()
SECRET_EXTRAS = {"private_key", "private_key_passphrase", "secret_key", "proxy"}


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def form(airflow_site: AirflowSite) -> dict[str, Any]:
    """What the form is made of, as the browser gets it."""
    answer = airflow_site.request("GET", "ui/connections/hook_meta")
    answer.raise_for_status()
    (found,) = [meta for meta in answer.json() if meta["connection_type"] == "timav"]
    return dict(found)


def canaries(service: Emulator, *others: str) -> Canaries:
    found = Canaries()
    found.add("UserSig", service.usersig)
    found.add("secret key", service.secret_key)
    found.add_pem("private key", service.certificates.client_key_pem, public=service.certificates.client_cert_pem)
    for secret in others:
        found.add("other", secret)
    return found


class TestFields:
    def test_sections_follow_the_way_one_goes_about_it(self, form: dict[str, Any]) -> None:
        sections: dict[str, list[str]] = {}
        for name, field in form["extra_fields"].items():
            sections.setdefault(field["schema"]["section"], []).append(name)
        assert sections == {
            "1. Account": ["sdkappid", "environment", "secret_key"],
            "2. Mutual TLS": ["client_cert", "private_key", "private_key_passphrase", "ca_cert"],
            "3. Network": ["proxy"],
        }

    def test_each_field_has_the_control_that_fits_it(self, form: dict[str, Any]) -> None:
        schemas = {name: field["schema"] for name, field in form["extra_fields"].items()}
        assert schemas["environment"]["enum"] == ["production", "test"]
        assert schemas["environment"]["values_display"] == {"production": "Production", "test": "Test"}
        assert {name for name, schema in schemas.items() if schema.get("format") == "multiline"} == {
            "client_cert",
            "private_key",
            "ca_cert",
        }
        assert {name for name, schema in schemas.items() if schema.get("format") == "password"} == {
            "secret_key",
            "private_key_passphrase",
        }
        required = {name for name, schema in schemas.items() if "null" not in schema["type"]}
        assert required == {"sdkappid", "environment", "client_cert", "private_key"}
        assert (schemas["sdkappid"]["minimum"], schemas["sdkappid"]["maximum"]) == (1, 2**32 - 1)

    def test_the_help_says_where_a_value_comes_from(self, form: dict[str, Any]) -> None:
        helps = {name: field["description"] for name, field in form["extra_fields"].items()}
        assert [name for name, text in helps.items() if not text] == []
        assert all("console" in helps[name] for name in ("sdkappid", "secret_key"))
        assert all("PEM" in helps[name] for name in ("client_cert", "private_key", "ca_cert"))

    def test_the_port_is_visible_because_the_test_button_needs_one(self, form: dict[str, Any]) -> None:
        standard = form["standard_fields"]
        assert not standard["port"]["hidden"]
        assert (standard["port"]["title"], standard["port"]["placeholder"]) == (
            "Port (443; the Test button needs it)",
            "443",
        )
        assert standard["url_schema"]["hidden"]
        assert standard["login"]["title"] == "Identifier (administrator account)"


def everything(service: Emulator, **extra: str) -> dict[str, Any]:
    """A connection that holds every secret that one may hold, and works."""
    connection = service.connection(sign=True, private_key_passphrase="not-asked-for-here", **extra)
    return {**connection, "password": service.usersig}


class TestSaved:
    def test_no_secret_comes_back(self, airflow_site: AirflowSite, service: Emulator) -> None:
        proxy = "http://user:proxy-password-1@127.0.0.1:1"
        made = connect(airflow_site, "timav_secrets", everything(service, proxy=proxy))
        again = airflow_site.rest("GET", "connections/timav_secrets")
        listed = airflow_site.rest("GET", "connections", params={"limit": 100})
        for shown in (made, again):
            extra = json.loads(shown["extra"])
            assert shown["password"] == "***"
            assert {name for name, value in extra.items() if value == "***"} == SECRET_EXTRAS
        text = json.dumps([made, again, listed])
        assert canaries(service, "not-asked-for-here", "proxy-password-1").hits(text) == set()

    def test_what_is_left_alone_on_edit_is_kept(self, airflow_site: AirflowSite, service: Emulator) -> None:
        """The form sends back what it was shown: `***` for each secret."""
        connect(airflow_site, "timav_edited", everything(service))
        shown = airflow_site.rest("GET", "connections/timav_edited")
        extra = json.loads(shown["extra"]) | {"environment": "test"}
        body = {
            key: shown[key] for key in ("connection_id", "conn_type", "host", "port", "login", "password", "schema")
        }
        airflow_site.rest("PATCH", "connections/timav_edited", {**body, "extra": json.dumps(extra)})
        after = airflow_site.rest("GET", "connections/timav_edited")
        assert json.loads(after["extra"])["environment"] == "test"
        tested = airflow_site.rest("POST", "connections/test", _as_the_button_sends(after))
        assert tested["status"], tested["message"]
        assert "Credential (secret key): accepted" in tested["message"]

    def test_a_viewer_sees_no_connection(self, airflow_site: AirflowSite, service: Emulator) -> None:
        connect(airflow_site, "timav_viewed", service.connection())
        answer = airflow_site.request("GET", "api/v2/connections/timav_viewed", user="viewer")
        assert answer.status_code == 403
        assert canaries(service).hits(answer.text) == set()


def _as_the_button_sends(shown: dict[str, Any]) -> dict[str, Any]:
    keys = ("connection_id", "conn_type", "description", "host", "port", "login", "password", "schema", "extra")
    return {key: shown[key] for key in keys}


class TestStoredSecrets:
    """Those who may only test a connection send what they like; the stored secrets go where the stored fields send them."""

    @pytest.mark.parametrize("sign", [False, True], ids=["downloaded UserSig", "signed UserSig"])
    @pytest.mark.parametrize(
        "left_out", [(), ("password",), ("host", "port")], ids=["masked", "no password", "no host"]
    )
    def test_foreign_proxy_and_ca_get_nothing(
        self, left_out: tuple[str, ...], sign: bool, airflow_site: AirflowSite, service: Emulator
    ) -> None:
        connect(airflow_site, "timav_guarded", service.connection(sign=sign))
        body = _as_the_button_sends(airflow_site.rest("GET", "connections/timav_guarded"))
        body = {name: value for name, value in body.items() if name not in left_out}
        with Eavesdropper(service.certificates.ca_pem) as foreign:
            for changes in (
                {"proxy": foreign.proxy, "ca_cert": foreign.ca_pem},
                {"proxy": foreign.proxy},
                {"ca_cert": foreign.ca_pem},
            ):
                extra = json.loads(body["extra"]) | changes
                answer = airflow_site.rest("POST", "connections/test", {**body, "extra": json.dumps(extra)})
                assert not answer["status"]
                (name, *_) = changes
                assert answer["message"].startswith(f"Connection: not tested: {name}: "), answer["message"]
                assert answer["message"].endswith("save the connection first, then test it.")
            assert foreign.got == (0, 0, b"")

    def test_saved_proxy_and_its_ca_are_used(self, airflow_site: AirflowSite, service: Emulator) -> None:
        with Eavesdropper(service.certificates.ca_pem) as companys:
            through = service.connection(proxy=companys.proxy, ca_cert=companys.ca_pem)
            connect(airflow_site, "timav_proxied", through)
            shown = airflow_site.rest("GET", "connections/timav_proxied")
            airflow_site.rest("POST", "connections/test", _as_the_button_sends(shown))
            assert (companys.callers > 0, b"usersig=" in companys.heard) == (True, True)

    def test_new_connection_is_tested_before_it_is_saved(self, airflow_site: AirflowSite) -> None:
        with Emulator() as another:
            typed = another.connection()
            body = {"connection_id": "timav_typed", **typed, "extra": json.dumps(typed["extra"])}
            answer = airflow_site.rest("POST", "connections/test", body)
            assert answer["status"], answer["message"]


def _expired(service: Emulator) -> dict[str, Any]:
    issued = service.certificates.issue_client(not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1))
    return service.connection(client_cert=issued[0], private_key=issued[1])


def _foreign(service: Emulator) -> dict[str, Any]:
    certificate, key = FOREIGN.issue_client()
    return service.connection(client_cert=certificate, private_key=key)


def _soon(service: Emulator) -> dict[str, Any]:
    issued = service.certificates.issue_client(not_before=NOW - timedelta(days=9), not_after=NOW + timedelta(days=3.5))
    return service.connection(client_cert=issued[0], private_key=issued[1])


# What is saved, whether it works, and the message; HOST stands for the emulator's address.
BUTTON: dict[str, tuple[Callable[[Emulator], dict[str, Any]], bool, str]] = {
    "good": (
        lambda e: e.connection(),
        True,
        r"Host HOST: reached\. Certificate: accepted, \d+ days left\. Credential \(UserSig\): accepted\.",
    ),
    "good with a secret key": (
        lambda e: e.connection(sign=True),
        True,
        r"Host HOST: reached\. Certificate: accepted, \d+ days left\. Credential \(secret key\): accepted\.",
    ),
    "certificate with three days left": (
        _soon,
        True,
        r"Host HOST: reached\. Certificate: accepted, 3 days left\. Credential \(UserSig\): accepted\.",
    ),
    "no PEM": (
        lambda e: e.connection(client_cert="hello"),
        False,
        r"Certificate: not usable: client_cert is neither PEM text .* Replace it in the connection; .*",
    ),
    "another certificate's key": (
        lambda e: e.connection(private_key=FOREIGN.client_key_pem),
        False,
        r"Certificate: not usable: private_key is not the key of client_cert\. Replace it in the connection; .*",
    ),
    "expired": (
        _expired,
        False,
        r"Certificate: not usable: client_cert: .* expired on .*\. Replace it in the connection; .*",
    ),
    "foreign": (
        _foreign,
        False,
        r"Host HOST: reached\. Certificate: refused: the server refused the client certificate .* Check client_cert .*",
    ),
    "a server that is not trusted": (
        lambda e: e.connection(ca_cert=FOREIGN.ca_pem),
        False,
        r"Host HOST: not trusted: the server's certificate is refused: .* Check host and ca_cert of the connection\.",
    ),
    "wrong UserSig": (
        lambda e: {**e.connection(), "password": "eJwrong-and-much-too-short"},
        False,
        r"Host HOST: reached\. Certificate: accepted, \d+ days left\. Credential \(UserSig\): refused: UserSig .*password.*",
    ),
    "wrong secret key": (
        lambda e: e.connection(sign=True, secret_key="0123456789abcdef" * 4),
        False,
        r"Host HOST: reached\. Certificate: accepted, \d+ days left\. Credential \(secret key\): refused: .*",
    ),
    "nobody listens": (
        lambda e: {**e.connection(), "port": free_port()},
        False,
        r"Host https://[\d.:]+: the service was not reached, .*\(Connection refused\)\. Check host, port, proxy .*",
    ),
    "no such host": (
        lambda e: {**e.connection(), "host": "no-such-host.invalid"},
        False,
        r"Host https://no-such-host\.invalid:\d+: the service was not reached, .*cannot be resolved.*",
    ),
    "no SDKAppID": (
        lambda e: e.connection(sdkappid=None),
        False,
        r"Connection: incomplete or wrong: sdkappid is missing .*Correct .*",
    ),
}


@pytest.mark.parametrize(("make", "works", "said"), BUTTON.values(), ids=BUTTON.keys())
def test_the_test_button_says_in_one_line_what_works_or_is_wrong(
    make: Callable[[Emulator], dict[str, Any]], works: bool, said: str, airflow_site: AirflowSite, service: Emulator
) -> None:
    """Saved, shown masked, and tested with what is shown: as the button in the list of connections does."""
    connection = make(service)
    connect(airflow_site, "timav_pressed", connection)
    shown = airflow_site.rest("GET", "connections/timav_pressed")
    answer = airflow_site.rest("POST", "connections/test", _as_the_button_sends(shown))
    assert answer["status"] is works, answer["message"]
    assert re.fullmatch(said.replace("HOST", re.escape(service.api_url)), answer["message"]), answer["message"]
    assert "\n" not in answer["message"]
    assert canaries(service).hits(answer["message"]) == set()
