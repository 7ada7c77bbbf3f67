"""What people, and Airflow on its way, put into the fields of a connection: settings, or an error that names the field."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from airflow.models.connection import Connection as CoreConnection
from airflow.sdk import Connection
from airflow.sdk._shared.secrets_masker import _secrets_masker, redact

from airflow_provider_timav.emulator import Certificates, Emulator
from airflow_provider_timav.hooks import connection as of_connection
from airflow_provider_timav.hooks.connection import Settings, mask
from airflow_provider_timav.hooks.timav import TimAVHook
from airflow_provider_timav.videorelay.errors import CertificateError, ConfigurationError

CERTIFICATES = Certificates()
EXTRA: dict[str, Any] = {"sdkappid": 1400000001, "client_cert": "/c.pem", "private_key": "/k.pem"}
FIELDS: dict[str, Any] = {"conn_type": "timav", "login": "admin", "password": "eJw-s3cret"}
TEXTS = [
    "environment",
    "client_cert",
    "private_key",
    "private_key_passphrase",
    "ca_cert",
    "secret_key",
    "proxy",
]


def settings(extra: dict[str, Any] | None = None, **fields: Any) -> Settings:
    given = {"extra": json.dumps({**EXTRA, **(extra or {})}), **FIELDS, **fields}
    return Settings.of(Connection(conn_id="x", **given))


def written(**extra: str) -> str:
    """A connection as an address, of which Airflow reads each extra as JSON."""
    return f"timav://admin:eJw@host:443/?{urlencode({**EXTRA, **extra}, quote_via=quote)}"


class TestNumbers:
    """Extras of a connection that is written as an address: Airflow's server reads each as JSON, a task does not."""

    @pytest.mark.parametrize("made", [CoreConnection, Connection], ids=["server", "task"])
    @pytest.mark.parametrize("digits", ["123456", "0", "-5", "0123", "1" * 400])
    def test_whole_number_is_the_digits_that_were_written(self, digits: str, made: Any) -> None:
        read = Settings.of(made(conn_id="x", uri=written(private_key_passphrase=digits, secret_key=digits)))
        assert (read.private_key_passphrase, read.secret_key) == (digits, digits)

    @pytest.mark.parametrize("name", TEXTS)
    @pytest.mark.parametrize("value", ["1.0", "1e5", "1.50", "true", "false", "NaN", "-Infinity", "[1]", '{"a": 1}'])
    def test_what_cannot_be_put_back_is_refused_without_being_shown(self, value: str, name: str) -> None:
        with pytest.raises(ConfigurationError) as refused:
            Settings.of(CoreConnection(conn_id="x", uri=written(**{name: value})))
        assert refused.value.field == name
        assert f"as JSON, with {name} in quotes" in refused.value.message
        assert value not in refused.value.message.replace("true or false", "")

    def test_null_is_not_given(self) -> None:
        """So says the form of each field that was left alone."""
        read = Settings.of(CoreConnection(conn_id="x", uri=written(proxy="null")))
        assert read.proxy is None


ODD: dict[str, Any] = {
    "half a surrogate pair": "\ud800x",
    "NUL": "a\0b",
    "a control character": "a\x1bb",
    "a line break within": "a\nb",
    "a number": 7,
    "a negative number": -7,
    "a fraction": 0.5,
    "not a number": float("nan"),
    "true": True,
    "false": False,
    "a list": ["x"],
    "an object": {"x": "y"},
    "deep": [[[[[["x"]]]]]],
    "huge": "x" * 5_000_000,
    "long": "x" * 70_000,
    "digits without end": "1" * 5000,
    "bytes": b"x",
    "emoji": "😀",
    "invisible": "\u200b",
    "right to left": "\u202e",
    "marks only": "-----BEGIN PRIVATE KEY-----" * 2000,
    "half a PEM": "-----BEGIN CERTIFICATE-----\nAAAA",
    "an empty PEM": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
    "PEM of nonsense": "-----BEGIN PRIVATE KEY-----\n\u200bAAAA\n-----END PRIVATE KEY-----",
    "brackets": "http://[::1",
    "percent": "http://%zz%:99999",
}


@pytest.mark.parametrize("name", ["host", "port", "login", "password", "extra", "sdkappid", *TEXTS])
@pytest.mark.parametrize("value", ODD.values(), ids=ODD.keys())
def test_no_other_error_comes_out_whatever_a_field_holds(
    name: str, value: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    extra, fields = dict(EXTRA), dict(FIELDS)
    if name in {"sdkappid", *TEXTS}:
        extra[name] = value
    fields["extra"] = extra if any(isinstance(each, bytes) for each in extra.values()) else json.dumps(extra)
    if name not in extra:
        fields[name] = value
    given = SimpleNamespace(**{"host": None, "port": None, **fields, "conn_id": "x_y"})
    hook = TimAVHook("x_y")
    monkeypatch.setattr(hook, "get_connection", lambda conn_id: given)
    caplog.set_level(logging.DEBUG)
    ok, message = hook.test_connection()
    assert not ok
    assert "unexpected" not in message
    message.encode()
    with pytest.raises((ConfigurationError, CertificateError)) as refused:  # there is no such file as /k.pem
        hook.get_conn()
    assert refused.value.field
    assert refused.value.__cause__ is None
    assert len(refused.value.message) < 400
    if isinstance(value, str) and len(value) > 3:
        assert value not in refused.value.message


@pytest.mark.parametrize(
    "name", ["x" * 10_000, "eJw s3cret", "\ud800", "a\nb", "-----BEGIN PRIVATE KEY-----", "пароль"], ids=ascii
)
def test_name_of_an_extra_that_is_no_name_is_not_shown(name: str) -> None:
    with pytest.raises(ConfigurationError, match="a name that is not known") as refused:
        settings({name: "x"})
    assert (refused.value.field, name in refused.value.message) == ("extra", False)


def test_field_that_airflow_cannot_decipher_is_named() -> None:
    class Undecipherable:
        host = port = login = password = None

        @property
        def extra(self) -> str:
            raise ValueError("a whole field: s3cret")

    with pytest.raises(ConfigurationError, match="cannot be read") as refused:
        Settings.of(Undecipherable())  # type: ignore[arg-type]
    assert (refused.value.field, refused.value.__context__) == ("extra", None)
    assert "s3cret" not in str(refused.value)


class TestLineEnds:
    """Secrets in files end with a line end, and so does what is pasted."""

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"], ids=ascii)
    def test_of_a_passphrase_is_left_out(self, end: str) -> None:
        read = settings({"private_key_passphrase": f" correct horse {end}"})
        assert read.private_key_passphrase == " correct horse "
        assert " correct horse " in read.secrets()

    def test_of_any_other_field_is_left_out_too(self) -> None:
        read = settings(
            {
                "environment": "test\n",
                "sdkappid": "1400000001\n",
                "secret_key": "s3cr3t\r\n",
                "proxy": "http://proxy:1\n",
            },
            login="admin\n",
            password="eJw\n",
            host="",
            port="443\n",
        )
        assert (read.endpoint, read.sdkappid, read.identifier) == ("https://test.tim.qq.com", 1400000001, "admin")
        assert (read.usersig, read.secret_key, read.proxy) == ("eJw", "s3cr3t", "http://proxy:1")


class TestPackedKey:
    """A key in base64 is masked in that form, and as the key that it is."""

    @pytest.mark.parametrize("field", ["client_cert", "private_key", "ca_cert"])
    def test_it_is_masked(self, field: str) -> None:
        packed = base64.encodebytes((CERTIFICATES.client_cert_pem + CERTIFICATES.client_key_pem).encode()).decode()
        secrets = set(map(str, settings({field: packed}).secrets()))
        assert {*packed.splitlines(), *CERTIFICATES.client_key_pem.splitlines()[1:-1]} <= secrets

    def test_certificate_in_base64_is_not(self) -> None:
        packed = base64.b64encode(CERTIFICATES.client_cert_pem.encode()).decode()
        assert settings({"client_cert": packed}).secrets() == ["eJw-s3cret"]


def test_environment_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings({"environment": "s3cret"})
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("field", ["client_cert", "private_key", "ca_cert"])
class TestSizes:
    def test_text_of_more_than_64_kib_is_refused_by_its_rule(self, field: str) -> None:
        text = CERTIFICATES.ca_pem.ljust(64 * 1024)
        settings({field: text})
        with pytest.raises(CertificateError, match=f"^{field} is longer than 64 KiB$") as refused:
            settings({field: text + " "})
        assert refused.value.field == field

    def test_it_counts_as_it_is_sent(self, field: str) -> None:
        with pytest.raises(CertificateError, match="longer than 64 KiB"):
            settings({field: "-----BEGIN X-----" + "密" * 22_000})


@pytest.mark.parametrize("field", ["client_cert", "private_key"])
@pytest.mark.parametrize("shape", ["short lines", "one line", "many keys"])
def test_key_of_more_lines_than_any_is_refused_before_it_is_masked(shape: str, field: str) -> None:
    def key(body: str) -> str:
        return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"

    text = {
        "short lines": key("\n".join(f"{line:04}" for line in range(200))),
        "one line": key("A" * 64 * 200),
        "many keys": "".join(key(f"{line:064}") for line in range(200)),
    }[shape]
    with pytest.raises(CertificateError, match="more than 128 lines") as refused:
        settings({field: text})
    assert refused.value.field == field


class Counting(set[str]):
    """The masker's patterns; each time they are joined, Airflow builds its expression anew."""

    builds = 0

    def __iter__(self) -> Any:
        type(self).builds += 1
        return super().__iter__()


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    monkeypatch.setattr(Counting, "builds", 0)
    monkeypatch.setattr(_secrets_masker(), "patterns", Counting())
    return Counting


class TestMask:
    """What Airflow's own masker of this process hides."""

    def test_it_builds_its_expression_once_for_a_whole_key(
        self, builds: type[Counting], timav_emulator: Emulator
    ) -> None:
        key = "\n".join(f"{line:064}" for line in range(100, 200))
        pem = f"-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----"
        read = settings({"private_key": pem})
        mask(read)
        assert builds.builds == 1
        for secret in read.secrets():
            assert redact(f"a {secret} b") == "a *** b"
        mask(read)
        assert builds.builds == 1

    def test_secret_that_is_hidden_already_is_in_no_ones_way(self) -> None:
        read = settings({"secret_key": "k" * 64})
        _secrets_masker().add_mask("k" * 64)
        mask(read)
        assert [secret for secret in read.secrets() if redact(str(secret)) != "***"] == []

    def test_masker_of_another_make_is_told_one_by_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[Any] = []
        monkeypatch.setattr(of_connection, "_masker", object)
        monkeypatch.setattr("airflow.sdk.log.mask_secret", told.append)
        read = settings()
        mask(read)
        assert told == [read.secrets()]

    def test_masker_that_no_longer_builds_from_its_patterns_is_told_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        masker = SimpleNamespace(
            patterns=set(), min_length_to_mask=5, secret_mask_adapter=None, redact=lambda text: text
        )
        told: list[Any] = []
        monkeypatch.setattr(of_connection, "_masker", lambda: masker)
        monkeypatch.setattr("airflow.sdk.log.mask_secret", told.append)
        read = settings({"secret_key": "k" * 64})
        mask(read)
        assert told == [read.secrets()] * 2
        assert masker.patterns == set()

    def test_certificates_are_not_hidden(self) -> None:
        read = settings({"client_cert": CERTIFICATES.client_cert_pem, "ca_cert": CERTIFICATES.ca_pem})
        mask(read)
        assert redact(CERTIFICATES.client_cert_pem) == CERTIFICATES.client_cert_pem
        assert read.secrets() == ["eJw-s3cret"]

    def test_key_in_a_combined_pem_is_hidden(self) -> None:
        combined = CERTIFICATES.client_cert_pem + CERTIFICATES.client_key_pem
        for field in ("client_cert", "private_key", "ca_cert"):
            read = settings({field: combined})
            assert set(CERTIFICATES.client_key_pem.splitlines()[1:-1]) <= set(map(str, read.secrets()))
            assert not set(CERTIFICATES.client_cert_pem.splitlines()) & set(map(str, read.secrets()))

    def test_secret_is_hidden_as_json_has_it(self) -> None:
        read = settings({"private_key_passphrase": 'corréct"horse\\1'}, password='sig"1\\2')
        mask(read)
        for secret in ('corréct"horse\\1', 'sig"1\\2'):
            for written in (json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
                assert redact(f"{{{written}}}") == '{"***"}'

    def test_password_of_a_proxy_is_hidden_by_itself(self) -> None:
        assert {"p%40sswörd", "p@sswörd"} <= set(settings({"proxy": "http://u:p%40sswörd@proxy:1"}).secrets())

    @pytest.mark.parametrize("end", ["", ":"], ids=["alone", "before an empty password"])
    def test_token_for_a_proxy_is_hidden_by_itself(self, end: str) -> None:
        assert {"t%40ken", "t@ken"} <= set(settings({"proxy": f"http://t%40ken{end}@proxy:1"}).secrets())


@pytest.mark.parametrize("proxy", ["http://user:12?ss@proxy:3128", "http://user:#abc@proxy:3128", "http://proxy:1?x#y"])
def test_proxy_with_a_query_or_a_fragment_is_refused(proxy: str) -> None:
    """Its password ended there: what came after it was not sent, and not hidden."""
    with pytest.raises(ConfigurationError, match="percent-encode") as refused:
        settings({"proxy": proxy})
    assert refused.value.field == "proxy"
    assert proxy[12:] not in str(refused.value)


class TestKeyFolder:
    """`[timav] key_folder` limits what a test reads, and nothing that a task does."""

    @pytest.fixture
    def in_files(self, timav_emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        names = {"client_cert": "client.pem", "private_key": "client.key", "ca_cert": "ca.pem"}
        connection = timav_emulator.connection()
        for field, name in names.items():
            (tmp_path / name).write_text(connection["extra"][field])
            connection["extra"][field] = str(tmp_path / name)
        monkeypatch.setenv("AIRFLOW_CONN_TIMAV_DEFAULT", json.dumps(connection))
        return tmp_path

    @pytest.mark.parametrize("folder", [None, "", "{}", "{}/"])
    def test_file_within_is_read(self, folder: str | None, in_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        if folder is not None:
            monkeypatch.setenv("AIRFLOW__TIMAV__KEY_FOLDER", folder.format(in_files))
        ok, message = TimAVHook().test_connection()
        assert ok, message

    @pytest.mark.parametrize("folder", ["none", "NONE", "/etc", "{}/sub", "relative", "/nowhere/at/all"])
    def test_no_other_file_is(self, folder: str, in_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (in_files / "sub").mkdir()
        monkeypatch.setenv("AIRFLOW__TIMAV__KEY_FOLDER", folder.format(in_files))
        ok, message = TimAVHook().test_connection()
        assert not ok
        assert message.startswith("Certificate: not usable: ca_cert is neither PEM text")
        assert "[timav] key_folder" in message
        with TimAVHook() as hook:
            assert hook.stop_push(room_id=1, user_id="a").outcome == "gone"
