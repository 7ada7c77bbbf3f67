"""A caller of the emulator's API that knows nothing of the provider's client: sockets, TLS and JSON."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from airflow_provider_timav.emulator import Emulator

PATH = "/v3/openim/videorelay"
SEQ = 41
COOKIE = "c0ffee"
START_PUSH = {
    "uint32_oper": 1,
    "uint32_live_code": 1,
    "uint32_sdk_type": 1,
    "uint32_push_data_type": 0,
    "uint32_tape_flag": 0,
}
STOP_PUSH = {"uint32_oper": 2, "uint32_sdk_type": 1, "uint32_push_data_type": 0}
START_RECORD = {
    "uint32_oper": 1,
    "string_file_name": "10086_news",
    "uint32_sdk_type": 1,
    "uint32_record_data_type": 0,
}
STOP_RECORD = {"uint32_oper": 2, "uint32_sdk_type": 1, "uint32_record_data_type": 0}


class Caller:
    """One connection to the API, kept alive; made anew after the server closed it."""

    def __init__(self, emulator: Emulator, context: ssl.SSLContext | None = None, timeout: float = 5.0) -> None:
        self.emulator = emulator
        url = urlsplit(emulator.api_url)
        self.connection = http.client.HTTPSConnection(
            str(url.hostname), url.port, context=context or emulator.certificates.client_context(), timeout=timeout
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.connection.close()

    def send(self, body: bytes, path: str = PATH, method: str = "POST", **parameters: Any) -> tuple[int, bytes]:
        """Sends any bytes; a parameter of None is left out. Returns status and body."""
        query: dict[str, Any] = {
            "usersig": self.emulator.usersig,
            "identifier": self.emulator.identifier,
            "sdkappid": self.emulator.sdkappid,
            "random": 305419896,
            "apn": 0,
            "contenttype": "json",
            **parameters,
        }
        target = f"{path}?{urlencode({key: value for key, value in query.items() if value is not None})}"
        try:
            self.connection.request(method, target, body)
            response = self.connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise

    def post(self, document: object, **parameters: Any) -> Any:
        """Sends a document, returns the answer's; the status is 200."""
        status, body = self.send(json.dumps(document).encode(), **parameters)
        assert status == 200
        return json.loads(body)

    def call(self, sub_cmd: int, fields: object, room_id: int = 10086, users: tuple[str, ...] = ("host_1",)) -> Any:
        """Sends an operation, returns the answer."""
        return self.post(request(sub_cmd, fields, room_id, users))

    def code(self, sub_cmd: int, fields: object, room_id: int = 10086, users: tuple[str, ...] = ("host_1",)) -> Any:
        """Sends an operation, returns the result code of the body."""
        return self.call(sub_cmd, fields, room_id, users)["rspbody"][f"rsp_0x{sub_cmd}"]["uint32_result"]


def request(
    sub_cmd: int, fields: object, room_id: int = 10086, users: tuple[str, ...] = ("host_1",)
) -> dict[str, dict[str, Any]]:
    """Returns a request's document."""
    return {
        "reqhead": {
            "uint32_sub_cmd": sub_cmd,
            "uint32_seq": SEQ,
            "uint32_auth_key": room_id,
            "uint32_sdk_appid": 1400000001,
            "rpt_to_Account": list(users),
            "bytes_cookie_buff": COOKIE,
        },
        "reqbody": {f"req_0x{sub_cmd}": fields},
    }
