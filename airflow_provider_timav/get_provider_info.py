"""Describe the provider to Airflow: a literal, because every Airflow command evaluates it and an import could fail.

Airflow hides the value of an extra only if its name suggests a secret, so secret extras have such names. A password control
would lose the line breaks of a PEM, and its dots protect nothing: PEM fields are multi-line.
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
        "config": {
            "timav": {
                "description": "What the Test button of a connection of type timav may do.",
                "options": {
                    "key_folder": {
                        "description": "The folder in which a test of a connection may read the files that client_cert, "
                        "private_key and ca_cert name: an absolute path. Left out, a test reads files anywhere; with the "
                        "value none it reads no file at all. Tasks and triggers ignore this option and read the files "
                        "that a connection names.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/etc/timav",
                        "default": None,
                    }
                },
            }
        },
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
                    "airflow_provider_timav.triggers.start",
                ],
            }
        ],
        "notifications": ["airflow_provider_timav.notifications.broadcast.EndBroadcastNotifier"],
        "asset-uris": [
            {
                "schemes": ["timav"],
                "handler": "airflow_provider_timav.assets.sanitize_uri",
                "factory": "airflow_provider_timav.assets.create_asset",
                "to_openlineage_converter": "airflow_provider_timav.assets.convert_asset_to_openlineage",
            }
        ],
        "extra-links": [
            "airflow_provider_timav.links.WatchLiveLink",
            "airflow_provider_timav.links.RecordingLink",
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
                        # Visible, to be filled in: the Test button of Airflow 3.3.2 fails if it is empty.
                        "port": "Port (443; the Test button needs it)",
                        "login": "Identifier (administrator account)",
                        "password": "UserSig (or a secret key below)",
                    },
                    "placeholders": {
                        "host": "https://openapi.tim.qq.com",
                        "port": "443",
                        "login": "administrator",
                        "password": "eJw…; empty with a secret key",
                    },
                },
                "conn-fields": {
                    "sdkappid": {
                        "label": "SDKAppID",
                        "description": "The application's number, such as 1400000001. In Tencent's IM console: the list of "
                        "applications, column SDKAppID.",
                        "schema": {"type": "integer", "minimum": 1, "maximum": 4294967295, "section": "1. Account"},
                    },
                    "environment": {
                        "label": "Environment",
                        "description": "Which of Tencent's hosts to call while the field Host above is empty.",
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
                        "description": "Instead of a UserSig: UserSigs are then signed here, fresh for each operation. In "
                        "Tencent's IM console: the application, basic configuration, display key. Needs the extra "
                        "'usersig' of this package. A UserSig is made in the console's tools for UserSigs, for the identifier "
                        "above, and put into the field UserSig; it expires.",
                        "schema": {"type": ["string", "null"], "format": "password", "section": "1. Account"},
                    },
                    "client_cert": {
                        "label": "Client certificate",
                        "description": "The certificate that Tencent issued for your application when mutual TLS was set up: "
                        "the whole text of its PEM file with its chain (-----BEGIN CERTIFICATE----- …), or the path of the "
                        "file on workers, triggerers and, for the Test button, the API server. At most 64 KiB.",
                        "schema": {"type": "string", "format": "multiline", "section": "2. Mutual TLS"},
                    },
                    "private_key": {
                        "label": "Private key",
                        "description": "The key that the certificate was requested with: PEM text (-----BEGIN … PRIVATE "
                        "KEY-----) or a path. It can be read here while it is typed, and is masked once it is saved.",
                        "schema": {"type": "string", "format": "multiline", "section": "2. Mutual TLS"},
                    },
                    "private_key_passphrase": {
                        "label": "Passphrase of the private key",
                        "description": "Only if the key is encrypted: the passphrase it was created with.",
                        "schema": {"type": ["string", "null"], "format": "password", "section": "2. Mutual TLS"},
                    },
                    "ca_cert": {
                        "label": "CA to trust",
                        "description": "Empty: the system's CAs, which know Tencent's. PEM text or a path if another CA "
                        "signs for the host: an emulator's, a proxy's. There is no switch that turns verification off. Save a "
                        "change of it before you test.",
                        "schema": {"type": ["string", "null"], "format": "multiline", "section": "2. Mutual TLS"},
                    },
                    "proxy": {
                        "label": "Proxy",
                        "description": "http://[user:password@]host:port, from the operators of your network; empty: none. "
                        "Proxies named in the environment are not used. Save a change of it before you test.",
                        "schema": {"type": ["string", "null"], "section": "3. Network"},
                    },
                },
            }
        ],
    }
