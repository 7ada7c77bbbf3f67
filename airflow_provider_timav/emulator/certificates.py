"""Throw-away certificates: an authority, a server certificate for loopback, and clients'."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

try:
    import trustme
except ImportError as error:
    raise ImportError(
        "The emulator makes its certificates with trustme: pip install 'airflow-provider-timav[emulator]'"
    ) from error

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Certificates"]


class Certificates:
    """A certificate authority of its own with one server and one client certificate, all EC keys in PEM text.

    Usable alone: a second instance is an authority that the emulator does not know. Nothing is written to disk, except
    for the moment in which OpenSSL reads the server's key.
    """

    def __init__(self) -> None:
        self._authority = trustme.CA(organization_name="timav emulator", organization_unit_name="throw-away")
        self._server = self._authority.issue_cert("127.0.0.1", "localhost", common_name="timav emulator")
        self.ca_pem: str = self._authority.cert_pem.bytes().decode()
        self.server_cert_pem, self.server_key_pem = _pem(self._server)
        self.client_cert_pem, self.client_key_pem = self.issue_client()

    def issue_client(
        self,
        common_name: str = "timav client",
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> tuple[str, str]:
        """Issue another client certificate; return certificate and key as PEM text.

        `not_before` and `not_after` bound its validity (None: the years 2000 to 2999), so that one which has expired, or is not
        valid yet, can be had.
        """
        return _pem(self._authority.issue_cert(common_name=common_name, not_before=not_before, not_after=not_after))

    def server_context(self) -> ssl.SSLContext:
        """Return the server's side: TLS 1.2 or newer, a client certificate of this authority required."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Tickets resume a session without a whole handshake; issuing one takes a third of one, and here no client resumes.
        context.num_tickets = 0
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.ca_pem)
        self._server.configure_cert(context)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return a client's side that trusts this authority alone and presents the client certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(cadata=self.ca_pem)
        with trustme.Blob((self.client_key_pem + self.client_cert_pem).encode()).tempfile() as path:
            context.load_cert_chain(path)
        return context

    def __repr__(self) -> str:
        return "Certificates()"


def _pem(leaf: trustme.LeafCert) -> tuple[str, str]:
    chain = "".join(blob.bytes().decode() for blob in leaf.cert_chain_pems)
    return chain, leaf.private_key_pem.bytes().decode()
