"""The PEM text of a connection's field: where it comes from, how much of it is taken, and what is repaired in it.

A field holds the text itself or the path of a file. What is too large is refused before anything is made of it. Every failure
to read a file has one message: a person who may test connections must not learn from it which files a machine has.
"""

from __future__ import annotations

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
    "Files",
    "blocks",
    "certificate_text",
    "check_key_lines",
    "check_size",
    "is_text",
    "key_lines",
    "key_text",
]

FIELD_BYTES: Final = 64 * 1024
# A file of CAs to trust may be a whole system's store with one's own CA added to it.
BUNDLE_BYTES: Final = 1024 * 1024
# A key of RSA with 8192 bits has a hundred lines.
KEY_LINES: Final = 128
LINE: Final = 64

_MARK: Final = re.compile(r"-----(BEGIN|END) ([A-Z0-9 ]{1,64})-----")
_KEY_BEGINS: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----")
# Headers of a traditional encrypted key; they must stay lines of their own. The length of the IV tells where base64 begins.
_HEADERS: Final = re.compile(
    r"\s*Proc-Type:\s*(?P<proc>4,ENCRYPTED)\s*DEK-Info:\s*"
    r"(?P<dek>AES-\d+-CBC,[0-9A-Fa-f]{32}|[A-Z0-9-]+,[0-9A-Fa-f]{16})(?P<rest>.*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Files:
    """Which files of this machine a field may name.

    :param folder: only regular files within this folder, by their real paths; None for files anywhere.
    :param allowed: False where no file is read at all.
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
        if any(_within(shown, kernel) for shown in {os.path.abspath(path), real} for kernel in ("/proc", "/sys")):
            return False
        if self.folder is None:
            return True
        if not os.path.isabs(self.folder) or ".." in path.split(os.sep):
            return False
        return _within(real, os.path.realpath(self.folder, strict=True))


ANYWHERE: Final = Files()


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
    return "-----BEGIN" in value


def certificate_text(value: str, field: str, files: Files, *, most_of_a_file: int = FIELD_BYTES) -> str:
    """Return the repaired PEM text of a field of certificates, from the field or from the file that it names.

    :raises CertificateError: naming the field: neither PEM text nor a file of certificates that may be read, or too large.
    """
    return _text(value, field, files, most_of_a_file, _is_certificate)


def key_text(value: str, field: str, files: Files) -> str:
    """Return the repaired PEM text of a private key, from the field or from the file that it names.

    :raises CertificateError: naming the field: neither PEM text nor a file of a key that may be read, or too large.
    """
    text = _text(value, field, files, FIELD_BYTES, _is_key)
    for label, inner in blocks(text):
        if _is_key(label) and sum(":" not in line for line in inner.split()) > KEY_LINES:
            raise _too_many_lines(field)
    return text


def _is_certificate(label: str) -> bool:
    return label in ("CERTIFICATE", "X509 CERTIFICATE")


def _is_key(label: str) -> bool:
    return label.endswith("PRIVATE KEY")


def _text(value: str, field: str, files: Files, most_of_a_file: int, wanted: Callable[[str], bool]) -> str:
    if is_text(value):
        check_size(value, field, most=max(FIELD_BYTES, most_of_a_file))
        return _repaired(blocks(_unescaped(value)), field)
    check_size(value, field)
    found = blocks(_unescaped(files.read(value, most_of_a_file) or ""))
    if any(wanted(label) for label, _ in found):
        return _repaired(found, field)
    kib = most_of_a_file // 1024
    raise CertificateError(
        f"{field} is neither PEM text (-----BEGIN …) nor the path of a PEM file that can be read on this machine, "
        f"a regular file of at most {kib} KiB{files.rule}",
        field=field,
    )


def check_size(value: str, field: str, *, most: int = FIELD_BYTES) -> None:
    """Check the size of a field before anything is made of it.

    :raises CertificateError: naming the field and the rule.
    """
    if len(value) > most or len(value.encode("utf-8", "surrogatepass")) > most:
        raise CertificateError(f"{field} is longer than {most // 1024} KiB", field=field)


def key_lines(text: str) -> list[str]:
    """Return the lines of the private keys in a text, as it would be shown: of what was cut off, too, and without its marks."""
    found: list[str] = []
    text = _unescaped(text)
    for begins in _KEY_BEGINS.finditer(text):
        end = text.find("-----", begins.end())
        found += text[begins.end() : len(text) if end < 0 else end].splitlines()
    return [line for line in dict.fromkeys(map(str.strip, found)) if line]


def check_key_lines(values: dict[str, str]) -> None:
    """Check that the keys in these fields have few enough lines to be masked one by one.

    :raises CertificateError: naming the field in which there are too many.
    """
    seen: set[str] = set()
    for field, value in values.items():
        lines = key_lines(value)
        seen.update(lines)
        if len(seen) > KEY_LINES or any(len(line) > KEY_LINES * (LINE + 1) for line in lines):
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

    :raises CertificateError: if there is no block, or a character in one that no PEM has.
    """
    if not found:
        raise CertificateError(f"{field} holds no PEM: no -----BEGIN …----- with its -----END …-----", field=field)
    made = "".join(f"-----BEGIN {label}-----\n{_rewrapped(inner)}-----END {label}-----\n" for label, inner in found)
    if not made.isascii():
        rule = f"{field}: a character stands in it that no PEM has, perhaps an invisible one: copy it anew"
        raise CertificateError(rule, field=field)
    return made


def _unescaped(text: str) -> str:
    return text.replace("\\r", "").replace("\\n", "\n").removeprefix("\ufeff")


def _rewrapped(inner: str) -> str:
    headers = ""
    if match := _HEADERS.match(inner):
        headers = f"Proc-Type: {match['proc']}\nDEK-Info: {match['dek']}\n\n"
        inner = match["rest"]
    base64_text = re.sub(r"\s+", "", inner)
    return headers + "".join(f"{base64_text[start : start + LINE]}\n" for start in range(0, len(base64_text), LINE))
