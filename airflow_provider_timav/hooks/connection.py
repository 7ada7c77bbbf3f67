"""Read the fields of a connection of type ``timav`` into ``Settings``, each checked by itself, and mask their secrets.

A person types these fields, and Airflow turns some of them into something else on its way: whatever is in them, the
result is settings, or an error that names the field and quotes nothing that may be secret.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from airflow_provider_timav import proxies
from airflow_provider_timav.frames import HiddenText
from airflow_provider_timav.videorelay.errors import ConfigurationError, TimAVError
from airflow_provider_timav.videorelay.kept import Kept
from airflow_provider_timav.videorelay.line import Proxy, forms
from airflow_provider_timav.videorelay.pem import check_key_lines, check_size, key_lines, packed_lines

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from pydantic import JsonValue

__all__ = ["Settings", "mask", "read_extra", "secrets_of_proxy"]

_EXTRAS: Final = (
    "sdkappid",
    "environment",
    "client_cert",
    "private_key",
    "private_key_passphrase",
    "ca_cert",
    "secret_key",
    "proxy",
)
_PEM: Final = ("client_cert", "private_key", "ca_cert")
_BY_KEYS: Final = ("private_key", "client_cert", "ca_cert")
"""The same, the field of keys first: lines that are too many are reported of the others."""
SHORTEST_MASK: Final = 5
LONGEST_TEXT: Final = 4096
"""Of a field that is no PEM. A UserSig has some 250 characters."""
LONGEST_EXTRA: Final = 4 * 1024 * 1024
# Names that a person may try; the message says in which field the value belongs.
_MISPLACED: Final = {
    "usersig": "put the UserSig into password: Airflow hides a value by its field's name, and it would not hide this one",
    "verify": "there is no switch that turns verification off; name the CA to trust in ca_cert",
    "insecure": "there is no switch that turns verification off; name the CA to trust in ca_cert",
    "cert": "the client certificate is client_cert, its key private_key",
    "identifier": "put the identifier into login",
    "host": "the host is a field of the connection itself",
    "port": "the port is a field of the connection itself",
}


@dataclass(frozen=True)
class Settings:
    """The fields of a connection, each checked by itself. ``repr`` shows no credential."""

    endpoint: str
    sdkappid: int
    identifier: str
    usersig: str | None = field(repr=False)
    secret_key: str | None = field(repr=False)
    client_cert: str = field(repr=False)
    private_key: str = field(repr=False)
    private_key_passphrase: str | None = field(repr=False)
    ca_cert: str | None = field(repr=False)
    proxy: str | None = field(repr=False)

    @classmethod
    def of(cls, connection: Connection) -> Settings:
        """Read a connection.

        :raises ConfigurationError: naming the field that is missing, unknown or wrong; nothing was sent.
        :raises CertificateError: naming the field of key material that is larger than one may be.
        """
        odd = ""
        try:
            host, login, password, extra = (
                getattr(connection, name) for name in ("host", "login", "password", "extra")
            )
            fields = host, _port(connection.port), login, password, extra
            # A process reads the same fields once.
            return _kept.get(fields, lambda: _settings(*fields))
        except TimAVError:
            raise
        except Exception as unexpected:  # noqa: BLE001  # Airflow decrypts and checks these fields as they are read
            odd = type(unexpected).__name__
        # Outside of the except clause, so that the new error has no context: the old one may hold a whole field.
        raise ConfigurationError(f"extra, or another field of the connection, cannot be read ({odd})", field="extra")

    def secrets(self) -> list[JsonValue]:
        """Return every form of a credential that a text could hold: raw, in an address, in JSON …, a line of a private key."""
        found: set[str] = set()
        for secret in (
            self.usersig,
            self.secret_key,
            self.private_key_passphrase,
            self.proxy,
            *secrets_of_proxy(self.proxy),
        ):
            if secret:
                found |= forms(secret) | {secret.strip()}
        # Line by line: that hides a key in one piece, too, however its lines are joined; without line breaks it is one line.
        # Certificates are public. A combined PEM is pasted into any of these fields.
        for text in (self.private_key, self.client_cert, self.ca_cert or ""):
            found.update((*key_lines(text), *packed_lines(text)))
        # Airflow masks nothing shorter, and says so in each task's log: the last line of a PEM may be.
        return [*sorted(secret for secret in found if len(secret) >= SHORTEST_MASK)]


_kept: Final[Kept[Settings]] = Kept()


def _settings(host: Any, port: int | None, login: Any, password: Any, extra_text: Any) -> Settings:
    from airflow_provider_timav.videorelay.exchange import HOSTS, endpoint

    extra = read_extra(extra_text)
    for name in _PEM:
        if isinstance(value := extra.get(name), str):
            check_size(value, name)
    check_key_lines({name: text for name in _BY_KEYS if isinstance(text := extra.get(name), str)})
    # A pasted value comes with blanks and line ends.
    login, password = (_text(value, name).strip() for value, name in ((login, "login"), (password, "password")))
    if not login:
        raise ConfigurationError("login: the identifier (administrator account) is missing", field="login")
    secret_key = _text(extra.get("secret_key"), "secret_key").strip() or None
    if not password and not secret_key:
        raise ConfigurationError(
            "password: there is neither a UserSig (password) nor a secret key (extra secret_key)", field="password"
        )
    environment = _text(extra.get("environment"), "environment").strip() or "production"
    if environment not in HOSTS:
        raise ConfigurationError("environment must be production or test", field="environment")
    for name, text in (("login", login), ("password", password), ("secret_key", secret_key or "")):
        _check_line(text, name)
    return Settings(
        endpoint=endpoint(_check_line(_text(host, "host"), "host"), port, environment),
        sdkappid=_sdkappid(extra.get("sdkappid")),
        identifier=login,
        usersig=password or None,
        secret_key=secret_key,
        client_cert=_required(extra, "client_cert"),
        private_key=_required(extra, "private_key"),
        # A passphrase may begin or end with a blank, but with no line end: secrets in files have one.
        private_key_passphrase=_text(extra.get("private_key_passphrase"), "private_key_passphrase").strip("\r\n")
        or None,
        ca_cert=_text(extra.get("ca_cert"), "ca_cert") or None,
        proxy=_proxy(_text(extra.get("proxy"), "proxy")),
    )


def read_extra(text: Any) -> dict[str, Any]:
    """Return the extras that are given: those that are not null and not empty.

    :raises ConfigurationError: ``extra`` is no JSON object, or has a name that no extra of this connection has.
    """
    extra: Any = None
    readable = False
    if isinstance(text, str) and len(text) > LONGEST_EXTRA:
        raise ConfigurationError(f"extra is longer than {LONGEST_EXTRA // 1024 // 1024} MiB", field="extra")
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        extra, readable = dict(text) if isinstance(text, Mapping) else json.loads(text) if text else {}, True
    if not readable:
        # Outside of the except clause, so that the new error has no context: the reader's holds the private key.
        raise ConfigurationError("extra is not JSON", field="extra")
    if not isinstance(extra, dict):
        raise ConfigurationError("extra must be a JSON object", field="extra")
    # The connection form saves every field that was left alone, as null or as "".
    given = {name: value for name, value in extra.items() if value is not None and value != ""}
    for name in given:
        if name not in _EXTRAS:
            raise _unknown(str(name))
    return given


def _unknown(name: str) -> ConfigurationError:
    hint = _MISPLACED.get(name.lower(), f"known are {', '.join(_EXTRAS)}")
    # A value may have been put in the place of the name.
    if not re.fullmatch(r"[\w.-]{1,40}", name, re.ASCII):
        return ConfigurationError(f"extra has a name that is not known: {hint}", field="extra")
    return ConfigurationError(f"extra {name} is not known: {hint}", field=name)


def _text(value: Any, name: str) -> str:
    """Return the text of a field, "" if it is empty.

    Airflow reads each extra of a connection that is written as an address (and tests each connection as one) as JSON, so a
    passphrase of digits comes as a number. Whole numbers are as they were written; nothing else can be put back.
    """
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):  # Python writes no number of more than 4300 digits
            value = str(value)
    if not isinstance(value, str):
        what = (
            "true or false"
            if isinstance(value, bool)
            else "a number"
            if isinstance(value, int | float)
            else "another type"
        )
        raise ConfigurationError(
            f"{name} must be a string, and came as {what}: give the connection's extras as JSON, with {name} in quotes.",
            field=name,
        )
    if not value.isascii() and not _is_encodable(value):
        raise ConfigurationError(f"{name} holds half of a surrogate pair, which no UTF-8 text can hold", field=name)
    if name not in _PEM and len(value) > LONGEST_TEXT:
        raise ConfigurationError(f"{name} is longer than {LONGEST_TEXT} characters", field=name)
    return value


def _is_encodable(text: str) -> bool:
    with contextlib.suppress(UnicodeEncodeError):
        text.encode()
        return True
    return False


def _check_line(text: str, name: str) -> str:
    if any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in text.strip()):
        raise ConfigurationError(f"{name} holds a control character, such as a line break", field=name)
    return text


def _required(extra: Mapping[str, Any], name: str) -> str:
    value = _text(extra.get(name), name)
    if not value:
        raise ConfigurationError(f"{name} is missing: the service asks for mutual TLS", field=name)
    return value


def _port(value: Any) -> int | None:
    if isinstance(value, str):
        digits = value.strip()
        value = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else digits or None
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536):
        raise ConfigurationError("port must be a whole number from 1 to 65535", field="port")
    return value


def _sdkappid(value: Any) -> int:
    if isinstance(value, str) and (digits := value.strip()).isascii() and digits.isdigit() and len(digits) <= 20:
        value = int(digits)
    if value is None:
        raise ConfigurationError("sdkappid is missing (the application's SDKAppID)", field="sdkappid")
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**32:
        raise ConfigurationError("sdkappid must be a whole number from 1 to 4294967295", field="sdkappid")
    return value


def _proxy(value: str) -> str | None:
    if not value:
        return None
    _check_line(value, "proxy")
    Proxy.of(value.strip())
    return HiddenText(value.strip())


def secrets_of_proxy(proxy: str | None) -> list[str]:
    """Return the password in a proxy's address, as it is written there and as the proxy gets it; a token stands as the user."""
    return proxies.secrets(proxy or "")


class _Mask:
    """Masks the secrets of settings in the logs of this process and its supervisor, once in some minutes."""

    def __init__(self) -> None:
        self._told: Kept[None] = Kept()

    def __call__(self, settings: Settings) -> None:
        # By the fields: making every form of their secrets takes longer than a look-up.
        self._told.get(tuple(vars(settings).values()), lambda: _tell(cast("list[str]", settings.secrets())))

    def cache_clear(self) -> None:
        """Forget which secrets were masked, as after a reset of Airflow's own masker."""
        self._told.clear()


mask: Final = _Mask()


def _tell(secrets: Sequence[str]) -> None:
    from airflow.sdk.log import mask_secret

    ahead = _put_ahead(secrets)
    mask_secret([*secrets])
    if ahead and not _hides(max(secrets, key=len)):
        # Another masker than the one that is known here: add them again, without a short cut.
        for known in ahead:
            _patterns().discard(known)
        mask_secret([*secrets])


def _put_ahead(secrets: Sequence[str]) -> set[str]:
    """Add all secrets but the longest to this process's masker; return the patterns that were added.

    Airflow builds its expression anew, with all that it hides, for each secret that it did not know: for a private key of a
    hundred lines that takes seconds. So all but one of them are added beforehand, and it is built once.
    """
    masker = _masker()
    shortest = getattr(masker, "min_length_to_mask", None)
    patterns = _patterns()
    if not secrets or not isinstance(shortest, int) or getattr(masker, "secret_mask_adapter", None) is not None:
        return set()
    longest = max(secrets, key=len)
    if re.escape(longest) in patterns or len(longest) < max(shortest, 8):
        return set()
    ahead = {re.escape(each) for each in secrets if len(each) >= max(shortest, 8) and each != longest} - patterns
    patterns.update(ahead)
    return ahead


def _hides(secret: str) -> bool:
    return secret not in str(_masker().redact(secret))


def _patterns() -> set[str]:
    patterns = getattr(_masker(), "patterns", None)
    return patterns if isinstance(patterns, set) else set()


def _masker() -> Any:
    masking = sys.modules.get("airflow.sdk._shared.secrets_masker")
    return getattr(masking, "_secrets_masker", lambda: None)()
