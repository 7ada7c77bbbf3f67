"""Check before the start of a broadcast what would fail at it: certificate, credential, and the clock."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_timav.videorelay import calls
from airflow_provider_timav.videorelay.errors import CertificateError, CredentialError, TimAVError

if TYPE_CHECKING:
    from airflow_provider_timav.hooks.timav import TimAVHook

__all__ = ["preflight"]

SKEW_SECONDS: Final = 2.0
"""How far this machine's clock may be from the service's before it is told; the service tells whole seconds."""


def preflight(hook: TimAVHook, end: datetime, log: Any) -> None:
    """Have the service accept certificate and credential, by a call that changes nothing: a stop of a push in room 0.

    :param end: when the broadcast ends; the certificate must be valid until then.
    :raises CertificateError: naming ``client_cert``, if it expires before the end or is refused.
    :raises CredentialError: if the credential is refused.
    :raises TimAVError: for any other refusal. A fault that may pass until the start is logged only.
    """
    expires = hook.certificate_expires
    if expires < end:
        raise CertificateError(
            f"client_cert expires at {expires.isoformat()}, before the broadcast's end at {end.isoformat()}",
            field="client_cert",
        )
    try:
        hook.call(calls.stop_push(room_id=0, user_id="preflight"))
    except TimAVError as error:
        if error.retryable and not isinstance(error, CredentialError):
            log.warning("Before the start, the service could not be asked: %s", error.with_advice)
            return
        if error.layer != "body":
            raise
    skew = hook.clock_skew
    if skew is not None and abs(skew) > SKEW_SECONDS:
        log.warning(
            "This machine's clock is %.0f s %s the service's: the broadcast starts and ends by this machine's.",
            *(abs(skew), "ahead of" if skew > 0 else "behind"),
        )
    log.info("The service accepts certificate and credential.")
