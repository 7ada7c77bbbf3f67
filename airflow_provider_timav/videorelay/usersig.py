"""The credential of a request: a UserSig that was downloaded, or one that is signed here from the application's secret key.

A UserSig is bound to identifier and SDKAppID and expires (field notes). A downloaded one cannot be renewed here; with the
secret key each operation gets a fresh one, so that none expires between a start and its stop.
"""

from __future__ import annotations

from typing import Final, Protocol

from airflow_provider_timav.videorelay.errors import ConfigurationError

__all__ = ["Credential", "SignedUserSig", "StaticUserSig"]

# An operation takes at most a minute; the rest allows for clocks that differ.
LIFETIME_SECONDS: Final = 3600


class Credential(Protocol):
    """The source of an operation's UserSig."""

    @property
    def renewable(self) -> bool:
        """Whether another UserSig can be signed after one was refused."""

    def usersig(self) -> str:
        """Return the UserSig to send."""


class StaticUserSig:
    """A UserSig downloaded from the vendor's console. It shows in no repr."""

    __slots__ = ("_usersig",)
    renewable = False

    def __init__(self, usersig: str) -> None:
        self._usersig = usersig

    def usersig(self) -> str:
        """Return the UserSig as it was given."""
        return self._usersig


class SignedUserSig:
    """UserSigs signed with the application's secret key by the vendor's published algorithm. No key shows in a repr.

    :raises ConfigurationError: naming ``secret_key``, if the package that signs is not installed; naming ``secret_key`` or
        ``login``, if it is no text that can be encoded.
    """

    __slots__ = ("_identifier", "_signer")
    renewable = True

    def __init__(self, secret_key: str, *, sdkappid: int, identifier: str) -> None:
        try:
            from TLSSigAPIv2 import TLSSigAPIv2
        except ImportError:
            raise ConfigurationError(
                "secret_key: signing UserSigs needs the package tls-sig-api-v2; install airflow-provider-timav[usersig]",
                field="secret_key",
            ) from None
        # The package's own error would hold the key.
        for name, text in (("secret_key", secret_key), ("login", identifier)):
            if text.encode(errors="replace") != text.encode(errors="surrogatepass"):
                raise ConfigurationError(f"{name} must hold no half characters (lone surrogates)", field=name)
        self._identifier = identifier
        self._signer = TLSSigAPIv2(sdkappid, secret_key)

    def usersig(self) -> str:
        """Return a UserSig signed now, valid for an hour."""
        signed: str = self._signer.gen_sig(self._identifier, LIFETIME_SECONDS)
        return signed
