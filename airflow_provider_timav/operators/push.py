"""Start and stop a push: the live stream that the audience sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_timav.arguments import none_if_blank, own_arguments
from airflow_provider_timav.links import PushConsoleLink, WatchLiveLink, live_page
from airflow_provider_timav.operators._argument_checks import given_entries
from airflow_provider_timav.operators._base import log_failure
from airflow_provider_timav.operators._start import StartOperator
from airflow_provider_timav.operators._stop import StopOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_timav.operators._checked_start import CheckedStart


__all__ = ["StartPushOperator", "StopPushOperator"]

_IDENTITY = ("room_id", "user_id", "sdk_type", "push_data_type")


def _place(url: str | None) -> str:
    from airflow_provider_timav.stream.address import place

    return place(url) if url else "none"


class StartPushOperator(StartOperator):
    """Starts a push (specification, 0x6 with operation 1) and hands its URLs on.

    XComs, each also under its own key: ``live_urls`` (list of ``{type, rate, url}``), ``hls_url``, ``rtmp_url`` (those of the
    original rate if there is one), ``channel_id``, ``tape_task_id`` (texts), ``outcome``: ``started``, ``recovered``,
    ``restarted`` or ``adopted`` (runs, not ours, URLs unknown). An unknown value is left out.

    Every argument is templated and checked after rendering.

    :param room_id: the room (``uint32_auth_key``), 0 to 2^32 - 1.
    :param user_id: the host whose picture is pushed.
    :param sdk_type: ``normal`` or ``iot_camera`` (or 1, 2).
    :param push_data_type: ``camera`` or ``screen`` (or 0, 1).
    :param live_code: ``hls``, ``rtmp`` or ``hls+rtmp`` (or 1, 5, 6).
    :param tape_flag: record while pushing. No file id of such a recording ever comes through this API: to get file ids, use
        ``StartRecordOperator``.
    :param channel_name: the channel's name.
    :param player_password: the password that a viewer must enter. It works only with the vendor's own player: other players,
        and the sensor, cannot play such a stream.
    :param rate_types: one or more of ``original``, ``sd`` (550K), ``hd`` (900K) (or 0, 10, 20); each gives URLs of its own.
    :param push_options: the arguments below as one dict, or as a JSON object in one string, for a task or a form that gives
        them so; an argument that is given by itself counts first.
    :param channel_describe: the channel's description.
    :param watermark_flag: put a watermark on the picture, one that was uploaded in the vendor's console.
    :param watermark_id: the watermark's number; 0 is the default. It has no effect without the flag, and is refused then.
    :raises TimAVError: see ``videorelay.errors``; a wrong argument is a ``ConfigurationError`` before anything is sent.
    """

    kind = "push"
    operator_extra_links = (WatchLiveLink(), PushConsoleLink())

    def __init__(
        self,
        *,
        room_id: int | str,
        user_id: str,
        sdk_type: str | int = "normal",
        push_data_type: str | int = "camera",
        live_code: str | int = "hls",
        tape_flag: bool | str = False,
        channel_name: str | None = None,
        channel_describe: str | None = None,
        player_password: str | None = None,
        watermark_flag: bool | str | None = None,
        watermark_id: int | str | None = None,
        rate_types: Sequence[str | int] | str | None = None,
        push_options: dict[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.room_id = room_id
        self.user_id = user_id
        self.sdk_type = sdk_type
        self.push_data_type = push_data_type
        self.live_code = live_code
        self.tape_flag = tape_flag
        self.channel_name = channel_name
        self.channel_describe = channel_describe
        self.player_password = player_password
        self.watermark_flag = watermark_flag
        self.watermark_id = watermark_id
        self.rate_types = rate_types
        self.push_options = push_options
        self.check_constants(StartPushOperator.template_fields)

    _own_arguments = own_arguments(__init__)
    template_fields: Sequence[str] = (*StartOperator.template_fields, *_own_arguments)

    @log_failure
    def execute(self, context: Context) -> dict[str, Any]:
        """Start the push; return its result."""
        return self.hand_on(context, self.start(context, self.checked_start(context)))

    def hand_on(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """Log the URLs' places, show the button of the page that plays them, and return the result."""
        ti = context["ti"]
        if "hls_url" in result:
            # Early, so that the button is there while a retry or a slow XCom backend still holds the task.
            ti.xcom_push(
                key=WatchLiveLink().xcom_key,
                value=live_page(result["hls_url"], broadcast=self.held_lease() is not None),
            )
        self.log.info(
            "Push of %s in room %s: %s. HLS: %s. RTMP: %s.",
            self.user_id,
            self.room_id,
            result["outcome"],
            _place(result.get("hls_url")),
            _place(result.get("rtmp_url")),
        )
        return result

    def checked_start(self, context: Context) -> CheckedStart:
        """Return the calls that start and stop this push; a viewers' password is masked in logs from here on."""
        from airflow.sdk.log import mask_secret

        from airflow_provider_timav.operators._checked_start import CheckedStart
        from airflow_provider_timav.videorelay import calls
        from airflow_provider_timav.videorelay.line import forms

        if (password := none_if_blank(self.player_password)) is not None:
            mask_secret([*forms(str(password))])
        own = self.arguments(*self._own_arguments)
        arguments = given_entries(own.pop("push_options", None), "push_options") | own
        identity = {name: arguments[name] for name in _IDENTITY if name in arguments}
        return CheckedStart(arguments, calls.start_push(**arguments), calls.stop_push(**identity))


class StopPushOperator(StopOperator):
    """Stops a push (0x6 with operation 2). A push that is stopped already, or gone, is a success.

    XCom ``outcome``: ``stopped``, ``already_stopped``, ``gone``, ``never_started`` or ``not_ours`` (then nothing was sent).

    :param room_id: the room, as at the start.
    :param user_id: the host, as at the start.
    :param sdk_type: as at the start.
    :param push_data_type: ``camera`` or ``screen``, as at the start: both can run side by side.
    """

    kind = "push"
    operator_extra_links = (PushConsoleLink(),)

    def __init__(
        self,
        *,
        room_id: int | str,
        user_id: str,
        sdk_type: str | int = "normal",
        push_data_type: str | int = "camera",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.room_id = room_id
        self.user_id = user_id
        self.sdk_type = sdk_type
        self.push_data_type = push_data_type
        self.check_constants(StopPushOperator.template_fields)

    _own_arguments = own_arguments(__init__)
    template_fields: Sequence[str] = (*StopOperator.template_fields, *_own_arguments)

    @log_failure
    def execute(self, context: Context) -> dict[str, Any]:
        """Stop the push; return how it ended."""
        from airflow_provider_timav.videorelay import calls

        arguments = self.arguments(*_IDENTITY)
        call = calls.stop_push(**arguments)
        self.log_request(arguments)
        if (reason := self.no_need(context)) is not None:
            result: dict[str, Any] = {"outcome": reason}
        else:
            with self.make_hook() as hook:
                result = self.send(hook, call).model_dump(mode="json", exclude_none=True)
        self.note_off_air(arguments)
        self.release_claim()
        self.log.info("Push of %s in room %s: %s.", self.user_id, self.room_id, result["outcome"])
        return result
