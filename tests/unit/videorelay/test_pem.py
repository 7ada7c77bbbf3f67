"""The PEM text of a field: how much of it is taken, which files are read, and that every failure to read one looks the same."""

from __future__ import annotations

import base64
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from airflow_provider_timav.videorelay import pem
from airflow_provider_timav.videorelay.errors import CertificateError
from airflow_provider_timav.videorelay.pem import (
    ANYWHERE,
    Files,
    blocks,
    certificate_text,
    check_key_lines,
    is_text,
    key_lines,
    key_text,
    packed_lines,
    unpacked,
)
from airflow_provider_timav.videorelay.tls import Identity, trusted

CA = trustme.CA()
LEAF = CA.issue_cert("client@example.org")
CERT = LEAF.cert_chain_pems[0].bytes().decode()
KEY = LEAF.private_key_pem.bytes().decode()
CA_PEM = CA.cert_pem.bytes().decode()

READERS: dict[str, Callable[[str, Files], object]] = {
    "client_cert": lambda value, files: Identity.load(client_cert=value, private_key=KEY, files=files),
    "private_key": lambda value, files: Identity.load(client_cert=CERT, private_key=value, files=files),
    "ca_cert": trusted,
}
FIT = {"client_cert": CERT, "private_key": KEY, "ca_cert": CA_PEM}
OTHER = {"client_cert": KEY, "private_key": CERT, "ca_cert": KEY}
each_field = pytest.mark.parametrize("field", READERS)


def refusal(field: str, value: str, files: Files = ANYWHERE) -> str:
    with pytest.raises(CertificateError) as refused:
        READERS[field](value, files)
    assert refused.value.field == field
    return refused.value.message


def written(folder: Path, content: bytes | str) -> str:
    file = folder / "file.pem"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(file)


OPENED: list[int] = []


def opened(folder: Path, content: str) -> int:
    """A file that this process has open, until the next one is."""
    for before in OPENED:
        os.close(before)
    OPENED[:] = [os.open(written(folder, content), os.O_RDONLY)]
    return OPENED[0]


def fifo(folder: Path) -> str:
    os.mkfifo(folder / "fifo")
    return str(folder / "fifo")


def listening(folder: Path) -> str:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
    return str(folder / "socket")


def link(folder: Path, target: str) -> str:
    (folder / "link").symlink_to(target)
    return str(folder / "link")


UNREADABLE: dict[str, Callable[[Path, str], str]] = {
    "missing": lambda folder, field: str(folder / "missing.pem"),
    "below a file": lambda folder, field: written(folder, FIT[field]) + "/x.pem",
    "a folder": lambda folder, field: str(folder),
    "empty": lambda folder, field: written(folder, ""),
    "no PEM": lambda folder, field: written(folder, "hello"),
    "no text": lambda folder, field: written(folder, bytes(range(256))),
    "cut off": lambda folder, field: written(folder, FIT[field].partition("-----END")[0]),
    "PEM of another kind": lambda folder, field: written(folder, OTHER[field]),
    "too large": lambda folder, field: written(folder, FIT[field] + "\n" * pem.BUNDLE_BYTES),
    "endless": lambda folder, field: "/dev/zero",
    "a terminal": lambda folder, field: "/dev/tty",
    "a FIFO": lambda folder, field: fifo(folder),
    "a socket": lambda folder, field: listening(folder),
    "of the kernel": lambda folder, field: "/proc/self/environ",
    "a link to the kernel's": lambda folder, field: link(folder, "/proc/self/cmdline"),
    "of the kernel, with two slashes": lambda folder, field: f"//proc/self/fd/{opened(folder, FIT[field])}",
    "of the kernel, through a device": lambda folder, field: f"/dev/fd/{opened(folder, FIT[field])}",
    "of the kernel, from where we are": lambda folder, field: os.path.relpath(
        f"/proc/self/fd/{opened(folder, FIT[field])}"
    ),
    "through the kernel": lambda folder, field: "/proc/self/root" + written(folder, FIT[field]),
    "a link to itself": lambda folder, field: link(folder, str(folder / "link")),
    "a name with NUL": lambda folder, field: "/etc/\0",
    "half a surrogate pair": lambda folder, field: "/etc/\ud800",
    "too long a name": lambda folder, field: "/" + "x" * 1000,
    "a home": lambda folder, field: "~/.ssh/id_rsa",
    "blank": lambda folder, field: " ",
}


@each_field
@pytest.mark.parametrize("kind", UNREADABLE)
def test_every_failure_to_read_a_file_has_one_message(kind: str, field: str, tmp_path: Path) -> None:
    assert refusal(field, UNREADABLE[kind](tmp_path, field)) == refusal(field, "/nowhere/at/all.pem")


@each_field
def test_forbidden_file_has_that_message_too(field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as the superuser, who is forbidden nothing."""
    path = written(tmp_path, FIT[field])

    def forbidden(*args: object, **kwargs: object) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", forbidden)
    assert refusal(field, path) == refusal(field, "/nowhere/at/all.pem")


@each_field
def test_file_is_read_up_to_its_limit(field: str, tmp_path: Path) -> None:
    most = pem.BUNDLE_BYTES if field == "ca_cert" else pem.FIELD_BYTES
    path = written(tmp_path, FIT[field].ljust(most, "\n"))
    READERS[field](path, ANYWHERE)
    path = written(tmp_path, FIT[field].ljust(most + 1, "\n"))
    assert f"at most {most // 1024} KiB" in refusal(field, path)


def test_limit_of_a_file_is_not_said_of_its_contents(tmp_path: Path) -> None:
    assert str(tmp_path) not in refusal("private_key", written(tmp_path, "s3cret"))


@each_field
def test_text_over_the_limit_is_refused_by_the_rule(field: str) -> None:
    most = pem.BUNDLE_BYTES if field == "ca_cert" else pem.FIELD_BYTES
    assert refusal(field, FIT[field].ljust(most + 1)) == f"{field} is longer than {most // 1024} KiB"
    assert "is longer than 64 KiB" in refusal(field, "x" * (pem.FIELD_BYTES + 1))
    READERS[field](FIT[field].ljust(most), ANYWHERE)


class TestFolder:
    """A deployment may limit paths to a folder."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> Files:
        (tmp_path / "keys" / "team").mkdir(parents=True)
        return Files(folder=str(tmp_path / "keys"), rule="; only within a folder")

    @each_field
    def test_file_within_is_read(self, field: str, files: Files, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        for path in (tmp_path / "keys" / "a.pem", tmp_path / "keys" / "team" / "b.pem"):
            path.write_text(FIT[field])
            READERS[field](str(path), files)
        (tmp_path / "keys" / "link.pem").symlink_to(tmp_path / "keys" / "a.pem")
        READERS[field](str(tmp_path / "keys" / "link.pem"), files)
        (tmp_path / "also").symlink_to(tmp_path / "keys")
        READERS[field](str(tmp_path / "keys" / "a.pem"), Files(folder=str(tmp_path / "also")))

    @each_field
    @pytest.mark.parametrize(
        "path",
        [
            "{}/outside.pem",
            "{}/keys/../outside.pem",
            "{}/keys/../keys/inside.pem",
            "{}/keys/link.pem",
            "{}/keys/way/outside.pem",
            "{}/keys-too/outside.pem",
            "keys/inside.pem",
        ],
    )
    def test_file_outside_is_not_read(
        self, path: str, field: str, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir("/")
        (tmp_path / "keys-too").mkdir()
        for name in ("outside.pem", "keys/inside.pem", "keys-too/outside.pem"):
            (tmp_path / name).write_text(FIT[field])
        (tmp_path / "keys" / "link.pem").symlink_to(tmp_path / "outside.pem")
        (tmp_path / "keys" / "way").symlink_to(tmp_path)
        said = refusal(field, path.format(tmp_path), files)
        assert said == refusal(field, "/nowhere/at/all.pem", files)
        assert said.endswith("; only within a folder")

    @each_field
    @pytest.mark.parametrize("folder", ["keys", "/nowhere/at/all", ""], ids=["not absolute", "missing", "empty"])
    def test_no_file_is_read_where_the_folder_is_none(
        self, folder: str, field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "keys").mkdir()
        monkeypatch.chdir(tmp_path)
        refusal(field, written(tmp_path / "keys", FIT[field]), Files(folder=folder))

    @each_field
    def test_no_file_is_read_where_none_may_be(self, field: str, tmp_path: Path) -> None:
        refusal(field, written(tmp_path, FIT[field]), Files(allowed=False))
        READERS[field](FIT[field], Files(allowed=False))


def test_blocks_are_found_in_one_pass() -> None:
    """Each mark once: a text of marks only would otherwise be read from each of them to its end."""
    nested = "-----BEGIN A-----\n-----BEGIN B-----\nx\n-----END B-----\n-----END A-----"
    assert blocks(nested) == [("B", "\nx\n")]
    assert blocks("-----BEGIN A-----" * 60_000) == []
    assert [label.split()[-1] for label, _ in blocks(CERT + KEY + CERT)] == ["CERTIFICATE", "KEY", "CERTIFICATE"]


class TestKeyLines:
    """What Airflow is told to mask."""

    def test_only_of_private_keys(self) -> None:
        assert key_lines(CERT + CA_PEM) == []
        assert key_lines(CERT + KEY + CA_PEM) == KEY.splitlines()[1:-1]

    @pytest.mark.parametrize("label", ["", "RSA ", "EC ", "DSA ", "ENCRYPTED ", "OPENSSH "])
    def test_of_every_kind_of_key(self, label: str) -> None:
        assert key_lines(f"-----BEGIN {label}PRIVATE KEY-----\nAAAA\nBBBB\n-----END {label}PRIVATE KEY-----") == [
            "AAAA",
            "BBBB",
        ]

    def test_of_a_key_that_was_cut_off(self) -> None:
        assert key_lines(KEY.partition("-----END")[0]) == KEY.splitlines()[1:-1]

    def test_each_once(self) -> None:
        assert key_lines(KEY + KEY) == KEY.splitlines()[1:-1]


def rewrapped(lines: int) -> str:
    body = "A" * 64 * lines
    return "-----BEGIN PRIVATE KEY-----\n" + body + "\n-----END PRIVATE KEY-----\n"


def test_key_of_more_lines_than_any_is_refused_before_it_is_read() -> None:
    assert "damaged" in refusal("private_key", rewrapped(pem.KEY_LINES))
    assert "more than 128 lines of 64 characters" in refusal("private_key", rewrapped(pem.KEY_LINES + 1))


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


PACKED: dict[str, Callable[[str], str]] = {
    "line breaks escaped": lambda text: text.replace("\n", "\\n"),
    "line breaks escaped twice": lambda text: text.replace("\n", "\\\\n"),
    "line breaks escaped three times": lambda text: text.replace("\n", "\\" * 4 + "n"),
    "line breaks of Windows escaped twice": lambda text: text.replace("\n", "\\\\r\\\\n"),
    "in base64": in_base64,
    "in base64, in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "in base64, with escaped line breaks": lambda text: base64.encodebytes(text.encode()).decode().replace("\n", "\\n"),
    "in base64, with escaped line breaks in it": lambda text: in_base64(text.replace("\n", "\\n")),
    "in base64, behind a byte order mark": lambda text: in_base64("\ufeff" + text),
    "a byte order mark and base64": lambda text: "\ufeff" + in_base64(text),
    "in base64, behind a comment": lambda text: in_base64("Bag Attributes: ключ\n" + text),
}


@each_field
@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED.keys())
def test_packed_pem_is_unpacked_in_fields_and_files(pack: Callable[[str], str], field: str, tmp_path: Path) -> None:
    packed = pack(FIT[field])
    assert is_text(packed)
    READERS[field](packed, ANYWHERE)
    READERS[field](written(tmp_path, packed), ANYWHERE)


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED.keys())
def test_packed_key_is_known_by_its_lines(pack: Callable[[str], str]) -> None:
    assert key_lines(pack(KEY)) == KEY.splitlines()[1:-1]
    check_key_lines({"private_key": pack(KEY)})


def test_lines_of_base64_are_given_for_keys_only() -> None:
    packed = base64.encodebytes(KEY.encode()).decode()
    assert packed_lines(packed) == packed.splitlines()
    assert packed_lines(in_base64(KEY)) == [in_base64(KEY)]
    assert packed_lines(in_base64(CERT)) == packed_lines(KEY) == packed_lines("/etc/timav/client.key") == []


def test_key_in_more_lines_of_base64_than_any_is_refused() -> None:
    packed = in_base64("".join(map(str, range(2000))) + KEY)
    with pytest.raises(CertificateError, match="more than 128 lines") as refused:
        check_key_lines({"private_key": "\n".join(packed[place : place + 8] for place in range(0, len(packed), 8))})
    assert refused.value.field == "private_key"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/etc/timav/client.pem",
        "hello",
        "A" * 79,
        "A" * 400,
        in_base64("x" * 400),
        "é" * 400,
        in_base64("\x00" * 90),
    ],
)
def test_what_is_no_pem_is_not_unpacked(text: str) -> None:
    assert (unpacked(text), is_text(text)) == (text, False)


@pytest.mark.parametrize("text", ["\\" * 2**20, "-----BEGIN " + "\\" * 2**20], ids=["alone", "behind a mark"])
def test_backslashes_are_read_once_each(text: str) -> None:
    """From each of them to the end, it would take a quarter of an hour."""
    assert unpacked(text) == text


def block(label: str) -> str:
    return f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n"


INSTEAD = {
    "a certificate request": (block("CERTIFICATE REQUEST"), "but a certificate request"),
    "a request of Windows": (block("NEW CERTIFICATE REQUEST"), "but a certificate request"),
    "a public key": (block("PUBLIC KEY"), "but a public key"),
    "a public key of RSA": (block("RSA PUBLIC KEY"), "but a public key"),
    "PKCS #7": (block("PKCS7"), "openssl pkcs7 -print_certs"),
    "a trusted certificate": (block("TRUSTED CERTIFICATE"), "OpenSSL's own additions"),
    "parameters": (block("EC PARAMETERS"), "the parameters of a key"),
    "a list of revoked certificates": (block("X509 CRL"), "revoked"),
    "something else": (block("S3CRET"), r"holds no (certificate|private key) \(-----BEGIN"),
}


@each_field
@pytest.mark.parametrize(("text", "said"), INSTEAD.values(), ids=INSTEAD.keys())
def test_pem_of_another_kind_is_called_by_its_name(text: str, said: str, field: str) -> None:
    for packed in (text, in_base64(text * 3)):
        message = refusal(field, packed)
        assert re.search(said, message)
        assert "S3CRET" not in message
        assert message.startswith(f"{field} holds no ")


def test_certificate_and_key_that_were_swapped_are_told() -> None:
    assert refusal("client_cert", KEY).endswith("but a private key: perhaps client_cert and private_key are swapped.")
    assert refusal("private_key", CERT).endswith("but a certificate: perhaps client_cert and private_key are swapped.")
    assert refusal("ca_cert", KEY).endswith("but a private key")


@each_field
def test_der_without_its_lines_is_told(field: str) -> None:
    bare = "".join(FIT[field].splitlines()[1:-1])
    message = refusal(field, bare)
    assert message.startswith(
        f"{field} is base64 without its lines -----BEGIN …----- and -----END …-----: DER, or a PKCS #12"
    )
    assert bare[:12] not in message


@each_field
@pytest.mark.parametrize("odd", ["\u200b", "\ufeff", "\u00ad", "é"], ids=ascii)
def test_character_that_no_pem_has_is_told_wherever_it_stands(odd: str, field: str) -> None:
    for text in (
        FIT[field].replace("\nM", f"\nM{odd}", 1),
        FIT[field].replace("-----\n", f"{odd}-----\n", 1),
        FIT[field].replace("-----BEGIN ", f"-----BEGIN{odd} "),
    ):
        assert "a character stands in it that no PEM has" in refusal(field, text)


@each_field
def test_blanks_of_every_kind_are_no_harm(field: str) -> None:
    READERS[field](FIT[field].replace("\nM", "\n\u00a0M\u2028", 1), ANYWHERE)


def test_key_of_openssh_is_told() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

    key = load_pem_private_key(KEY.encode(), None)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    assert "it is a key of OpenSSH: ssh-keygen" in refusal("private_key", text)


def test_other_blocks_of_a_combined_pem_are_left_out() -> None:
    combined = KEY + CERT + CA_PEM
    assert certificate_text(combined, "client_cert", ANYWHERE) == CERT + CA_PEM
    assert key_text(combined, "private_key", ANYWHERE) == KEY


def test_texts_of_fields_are_what_was_asked_for() -> None:
    assert certificate_text(CERT, "client_cert", ANYWHERE) == CERT
    assert key_text(KEY, "private_key", ANYWHERE) == KEY
