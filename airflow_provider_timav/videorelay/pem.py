"""The PEM text of a connection's field: its source, its limits, and the damage that is repaired in it.

A field holds the text itself or the path of a file. A text that is too large is refused before anything is made of it. Every
failure to read a file has one message: a person who may test connections must not learn from it which files a machine has.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from airflow_provider_timav.videorelay.errors import CertificateError

__all__ = [
    "ANYWHERE",
    "BUNDLE_BYTES",
    "FIELD_BYTES",
    "Files",
    "blocks",
    "certificate_text",
    "check_key_lines",
    "check_size",
    "is_text",
    "key_lines",
    "key_text",
    "packed_lines",
    "unpacked",
]

FIELD_BYTES: Final = 64 * 1024
# A file of CAs to trust may be a whole system's store with one's own CA added to it.
BUNDLE_BYTES: Final = 1024 * 1024
# A key of RSA with 8192 bits has a hundred lines.
KEY_LINES: Final = 128
LINE: Final = 64

_MARK: Final = re.compile(r"-----(BEGIN|END) ([A-Z0-9 ]{1,64})-----")
_BEGINS: Final = "-----BEGIN"
# Shorter texts in base64 hold no PEM: this is what its marks alone take.
_SHORTEST_PACKED: Final = 80
# From the first of several backslashes: a text of nothing else would otherwise be read from each of them to its end.
_ESCAPED_RETURN: Final = re.compile(r"(?<!\\)\\+r")
_ESCAPED_BREAK: Final = re.compile(r"(?<!\\)\\+n")
_KEY_BEGINS: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----")
# Headers of a traditional encrypted key; they must stay lines of their own. Base64 begins behind the IV, whose length is known.
_HEADERS: Final = re.compile(
    r"\s*Proc-Type:\s*(?P<proc>4,ENCRYPTED)\s*DEK-Info:\s*"
    r"(?P<dek>AES-\d+-CBC,[0-9A-Fa-f]{32}|[A-Z0-9-]+,[0-9A-Fa-f]{16})(?P<rest>.*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Files:
    """Which files of this machine a field may name.

    :param folder: only regular files within this folder, by their real paths; None for files anywhere.
    :param allowed: False if no file is read at all.
    :param rule: what to say of that to a person, at the end of a refusal.
    """

    folder: str | None = None
    allowed: bool = True
    rule: str = ""

    def read(self, value: str, most: int) -> str | None:
        """Return the text of the file that a field names, or None: for whatever reason it is not read.

        Nothing but a regular file is opened, and no read waits: a FIFO, a device, a folder and what the kernel shows below
        ``/proc`` and ``/sys`` are no files of a certificate or a key.

        :param most: the bytes that it may have.
        """
        path = value.strip()
        # Whatever is no short single line is damaged PEM rather than a path, and must not be shown.
        if not self.allowed or not 0 < len(path) < 1024 or not path.isprintable():
            return None
        with contextlib.suppress(OSError, ValueError):
            real = os.path.realpath(path, strict=True)
            if self._holds(path, real) and stat.S_ISREG(os.stat(real).st_mode):
                return _read(real, most)
        return None

    def _holds(self, path: str, real: str) -> bool:
        if _plain(real).startswith(_KERNEL) or _plain(os.path.abspath(path)).startswith((*_KERNEL, *_OPENED)):
            return False
        if self.folder is None:
            return True
        if not os.path.isabs(self.folder) or ".." in path.split(os.sep):
            return False
        return _within(real, os.path.realpath(self.folder, strict=True))


ANYWHERE: Final = Files()
_KERNEL: Final = ("/proc/", "/sys/")
_OPENED: Final = ("/dev/fd/", "/dev/std")
"""Links to what this process has open, which lead through ``/proc`` to the files themselves."""


def _plain(path: str) -> str:
    """Return an absolute path with one slash before it: POSIX leaves open what two mean, and ``os.path`` leaves them."""
    return f"/{path.lstrip('/')}" if path.startswith("//") else path


def _within(path: str, folder: str) -> bool:
    return os.path.commonpath((path, folder)) == folder


def _read(real: str, most: int) -> str | None:
    # The path is resolved: a link in its last place was put there in between.
    careful = (
        os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW if os.name == "posix" else os.O_RDONLY
    )
    with open(os.open(real, careful), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or not 0 < found.st_size <= most:
            return None
        content = file.read(most + 1)  # it may have grown since
    return None if len(content) > most else content.decode("utf-8-sig", errors="replace")


def is_text(value: str) -> bool:
    """Return whether a field holds PEM text, rather than a path."""
    return _BEGINS in unpacked(value)


def unpacked(text: str) -> str:
    """Return PEM text as it was before it was packed for its way here.

    Its line breaks may be escaped, once (JSON in an environment variable) or more often, a byte order mark may stand before it,
    and the whole may be in base64, as Kubernetes has its secrets. Anything else is returned without escaped line breaks.
    """
    plain = _unescaped(text)
    if _BEGINS not in plain and (content := _from_base64(plain)) is not None:
        with contextlib.suppress(ValueError):
            inner = _unescaped(content.decode())
            return inner if _BEGINS in inner else plain
    return plain


def _unescaped(text: str) -> str:
    if "\\" in text:
        text = _ESCAPED_BREAK.sub("\n", _ESCAPED_RETURN.sub("", text))
    return text.removeprefix("\ufeff")


def _from_base64(text: str) -> bytes | None:
    if len(text) < _SHORTEST_PACKED:
        return None
    with contextlib.suppress(ValueError):
        return base64.b64decode("".join(text.split()), validate=True)
    return None


def certificate_text(value: str, field: str, files: Files, *, most_of_a_file: int = FIELD_BYTES) -> str:
    """Return the certificates of a field as repaired PEM text, from the field or from the file that it names.

    :raises CertificateError: naming the field: neither PEM text nor a file of certificates that may be read, or too large, or
        PEM of another kind.
    """
    return _text(value, field, files, most_of_a_file, _CERTIFICATE)


def key_text(value: str, field: str, files: Files) -> str:
    """Return the private keys of a field as repaired PEM text, from the field or from the file that it names.

    :raises CertificateError: naming the field: neither PEM text nor a file of a key that may be read, or too large, or PEM of
        another kind.
    """
    text = _text(value, field, files, FIELD_BYTES, _KEY)
    for _, inner in blocks(text):
        if sum(":" not in line for line in inner.split()) > KEY_LINES:
            raise _too_many_lines(field)
    return text


@dataclass(frozen=True)
class _Kind:
    """The kind of PEM that a field is to hold.

    :param name: its name in messages.
    :param mark: the line that it begins with.
    :param wanted: whether a block with this label is one.
    """

    name: str
    mark: str
    wanted: Callable[[str], bool]


_CERTIFICATE: Final = _Kind(
    "certificate", "-----BEGIN CERTIFICATE-----", lambda label: label in ("CERTIFICATE", "X509 CERTIFICATE")
)
_KEY: Final = _Kind("private key", "-----BEGIN … PRIVATE KEY-----", lambda label: label.endswith("PRIVATE KEY"))

_SWAPPED: Final = "perhaps client_cert and private_key are swapped."
# Other PEM that people put in: the end of its label, its name, and what to do about it.
_INSTEAD: Final = (
    ("PRIVATE KEY", "a private key", _SWAPPED),
    (
        "TRUSTED CERTIFICATE",
        "a certificate with OpenSSL's own additions",
        "openssl x509 -in FILE writes it without them.",
    ),
    ("CERTIFICATE REQUEST", "a certificate request (CSR)", "put in the certificate that the CA has issued for it."),
    ("CERTIFICATE", "a certificate", _SWAPPED),
    ("PUBLIC KEY", "a public key", "put in what was made together with it."),
    ("PKCS7", "PKCS #7", "openssl pkcs7 -print_certs -in FILE writes its certificates."),
    ("CMS", "CMS", "openssl pkcs7 -print_certs -in FILE writes its certificates."),
    ("CRL", "a list of revoked certificates", "put in the certificate itself."),
    ("PARAMETERS", "the parameters of a key", "copy the whole file."),
)


def _text(value: str, field: str, files: Files, most_of_a_file: int, kind: _Kind) -> str:
    text = is_text(value)
    check_size(value, field, most=max(FIELD_BYTES, most_of_a_file) if text else FIELD_BYTES)
    content = value if text else files.read(value, most_of_a_file) or ""
    found = blocks(unpacked(content))
    wanted = [block for block in found if kind.wanted(block[0])]
    if wanted:
        return _repaired(wanted, field)
    if text:
        raise _of_another_kind(unpacked(content), found, field, kind)
    if (content_of_der := _from_base64(value)) is not None and content_of_der[:1] == b"\x30":
        raise CertificateError(
            f"{field} is base64 without its lines -----BEGIN …----- and -----END …-----: DER, or a PKCS #12 file. "
            f"Put in PEM text, as openssl {'pkey' if kind is _KEY else 'x509'} or openssl pkcs12 writes it.",
            field=field,
        )
    raise CertificateError(
        f"{field} is neither PEM text ({_BEGINS} …) nor the path of a file that can be read on this machine: a regular file "
        f"of at most {most_of_a_file // 1024} KiB with a {kind.name} as PEM text (no DER, no PKCS #12){files.rule}",
        field=field,
    )


def _of_another_kind(text: str, found: list[tuple[str, str]], field: str, kind: _Kind) -> CertificateError:
    if not found and not text.isascii():
        return _odd_character(field)
    if not found:
        return CertificateError(f"{field} holds no PEM: no {_BEGINS} …----- with its -----END …-----", field=field)
    rule = f"{field} holds no {kind.name} ({kind.mark})"
    for label, name, advice in _INSTEAD:
        if any(each.endswith(label) for each, _ in found):
            further = "" if advice is _SWAPPED and field == "ca_cert" else f": {advice}"
            return CertificateError(f"{rule}, but {name}{further}", field=field)
    return CertificateError(rule, field=field)


def check_size(value: str, field: str, *, most: int = FIELD_BYTES) -> None:
    """Check the size of a field before anything is made of it.

    :raises CertificateError: naming the field and the rule.
    """
    if len(value) > most or len(value.encode("utf-8", "surrogatepass")) > most:
        raise CertificateError(f"{field} is longer than {most // 1024} KiB", field=field)


def key_lines(text: str) -> list[str]:
    """Return the lines of the private keys in a text, as it would be shown: of what was cut off, too, and without its marks."""
    found: list[str] = []
    text = unpacked(text)
    for begins in _KEY_BEGINS.finditer(text):
        end = text.find("-----", begins.end())
        found += text[begins.end() : len(text) if end < 0 else end].splitlines()
    return [line for line in dict.fromkeys(map(str.strip, found)) if line]


def packed_lines(text: str) -> list[str]:
    """Return the lines of a text in base64 that holds a private key, as it would be shown; none of any other text."""
    if _BEGINS in _unescaped(text) or not key_lines(text):
        return []
    return [line for line in dict.fromkeys(map(str.strip, _unescaped(text).splitlines())) if line]


def check_key_lines(values: dict[str, str]) -> None:
    """Check that the keys in these fields have few enough lines to be masked one by one.

    :raises CertificateError: naming the field in which there are too many.
    """
    seen: set[str] = set()
    for field, value in values.items():
        lines = key_lines(value)
        seen.update(lines)
        many = len(seen) > KEY_LINES or len(packed_lines(value)) > 2 * KEY_LINES
        if many or any(len(line) > KEY_LINES * (LINE + 1) for line in lines):
            raise _too_many_lines(field)


def _too_many_lines(field: str) -> CertificateError:
    return CertificateError(
        f"{field}: a private key of more than {KEY_LINES} lines of {LINE} characters is not taken", field=field
    )


def blocks(text: str) -> list[tuple[str, str]]:
    """Return label and contents of each block, in one pass: whatever is written between marks, this takes no longer."""
    found: list[tuple[str, str]] = []
    opened: re.Match[str] | None = None
    for mark in _MARK.finditer(text):
        if mark[1] == "BEGIN":
            opened = mark
        elif opened is not None and opened[2] == mark[2]:
            found.append((mark[2], text[opened.end() : mark.start()]))
            opened = None
    return found


def _repaired(found: list[tuple[str, str]], field: str) -> str:
    """Return blocks as PEM text with its line breaks, which a password control, JSON or the environment may have taken.

    :raises CertificateError: if a character stands in one that no PEM has.
    """
    made = "".join(f"-----BEGIN {label}-----\n{_rewrapped(inner)}-----END {label}-----\n" for label, inner in found)
    if not made.isascii():
        raise _odd_character(field)
    return made


def _odd_character(field: str) -> CertificateError:
    rule = f"{field}: a character stands in it that no PEM has, perhaps an invisible one: copy it anew"
    return CertificateError(rule, field=field)


def _rewrapped(inner: str) -> str:
    headers = ""
    if match := _HEADERS.match(inner):
        headers = f"Proc-Type: {match['proc']}\nDEK-Info: {match['dek']}\n\n"
        inner = match["rest"]
    base64_text = re.sub(r"\s+", "", inner)
    return headers + "".join(f"{base64_text[start : start + LINE]}\n" for start in range(0, len(base64_text), LINE))
