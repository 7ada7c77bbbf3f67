"""What Airflow asks of a provider: a literal, because every Airflow command evaluates it and an import could fail.

Airflow hides the value of an extra by its name only, so the secret ones are named so that it does. A password control would
lose the line breaks of a PEM, and its dots protect nothing: PEM fields are multi-line.
"""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata (Airflow's ``provider_info.schema.json``)."""
    return {
        "package-name": "airflow-provider-timav",
        "name": "TIM AV",
        "description": "Live broadcasts through Tencent's TIM AV videorelay API: push, watch, record, stop.",
        "integrations": [
            {
                "integration-name": "TIM AV",
                "external-doc-url": "https://cloud.tencent.com/document/product/269",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": "TIM AV", "python-modules": ["airflow_provider_timav.hooks.timav"]}],
        "operators": [
            {
                "integration-name": "TIM AV",
                "python-modules": [
                    "airflow_provider_timav.operators.broadcast",
                    "airflow_provider_timav.operators.push",
                    "airflow_provider_timav.operators.record",
                    "airflow_provider_timav.operators.room",
                ],
            }
        ],
        "sensors": [{"integration-name": "TIM AV", "python-modules": ["airflow_provider_timav.sensors.live_stream"]}],
        "triggers": [
            {
                "integration-name": "TIM AV",
                "python-modules": [
                    "airflow_provider_timav.triggers.live_stream",
                    "airflow_provider_timav.triggers.on_air",
                ],
            }
        ],
        "notifications": ["airflow_provider_timav.notifications.broadcast.EndBroadcastNotifier"],
        "asset-uris": [{"schemes": ["timav"], "handler": None}],
        "extra-links": [
            "airflow_provider_timav.links.WatchLiveLink",
            "airflow_provider_timav.links.PushConsoleLink",
            "airflow_provider_timav.links.RecordingConsoleLink",
        ],
        "connection-types": [
            {
                "connection-type": "timav",
                "hook-class-name": "airflow_provider_timav.hooks.timav.TimAVHook",
                "hook-name": "TIM AV",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema"],
                    "relabeling": {
                        "host": "Host (empty: Tencent's)",
                        "port": "Port (443)",
                        "login": "Identifier (administrator account)",
                        "password": "UserSig",
                    },
                    "placeholders": {
                        "host": "https://openapi.tim.qq.com",
                        "port": "443",
                        "login": "administrator",
                        "password": "a downloaded UserSig; empty with a secret key",
                    },
                },
                "conn-fields": {
                    "sdkappid": {
                        "label": "SDKAppID",
                        "description": "The application's number. Console: application list, application configuration.",
                        "schema": {"type": "integer", "minimum": 1, "maximum": 4294967295, "section": "1. Account"},
                    },
                    "environment": {
                        "label": "Environment",
                        "description": "Which of Tencent's hosts to call while the field Host is empty.",
                        "schema": {
                            "type": "string",
                            "enum": ["production", "test"],
                            "values_display": {"production": "Production", "test": "Test"},
                            "default": "production",
                            "section": "1. Account",
                        },
                    },
                    "secret_key": {
                        "label": "Secret key",
                        "description": "The application's secret key, instead of a UserSig: UserSigs are then signed here, "
                        "fresh for each operation. Needs the extra 'usersig' of this package.",
                        "schema": {"type": ["string", "null"], "format": "password", "section": "1. Account"},
                    },
                    "client_cert": {
                        "label": "Client certificate",
                        "description": "PEM text with its chain, or the path of a PEM file on workers, triggerers and, for "
                        "the Test button, the API server. Tencent's guide for mutual TLS says how to get one.",
                        "schema": {"type": "string", "format": "multiline", "section": "2. Mutual TLS"},
                    },
                    "private_key": {
                        "label": "Private key",
                        "description": "PEM text or a path: the key of the client certificate. Masked once it is saved.",
                        "schema": {"type": "string", "format": "multiline", "section": "2. Mutual TLS"},
                    },
                    "private_key_passphrase": {
                        "label": "Passphrase of the private key",
                        "description": "Only where the key is encrypted.",
                        "schema": {"type": ["string", "null"], "format": "password", "section": "2. Mutual TLS"},
                    },
                    "ca_cert": {
                        "label": "CA to trust",
                        "description": "PEM text or a path. Empty: the system's CAs. There is no switch that turns "
                        "verification off.",
                        "schema": {"type": ["string", "null"], "format": "multiline", "section": "3. Network"},
                    },
                    "proxy": {
                        "label": "Proxy",
                        "description": "http://[user:password@]host:port. Proxies named in the environment are not used.",
                        "schema": {"type": ["string", "null"], "section": "3. Network"},
                    },
                },
            }
        ],
    }
