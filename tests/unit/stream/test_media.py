"""Bytes that can begin a segment, and addresses that hold data."""

from __future__ import annotations

import pytest

from airflow_provider_timav.stream.media import inline, may_be_media


@pytest.mark.parametrize(
    ("body", "plays"),
    [
        (b"<!DOCTYPE html><html>", False),
        (b"\xef\xbb\xbf\n<?xml version='1.0'?><Error/>", False),
        (b'{"error": "not found"}', False),
        (b"not found", False),
        (b"#EXTM3U\n", False),
        (b"G" * 600, True),
        (b"G\x40\x11\x10\0", True),
        (b"\0\0\0\x18styp", True),
        (b"ID3\x04\0", True),
        (b"\xff\xf1P\x80", True),
        (b"WEBVTT\n", True),
        (b"\xef\xbb\xbfWEBVTT\r\n", True),
        (b"Gone", False),
        (b"Gateway Timeout\r\n", False),
        ("\u6587\u4ef6\u4e0d\u5b58\u5728".encode(), False),
        ("\u6587\u4ef6\u4e0d\u5b58\u5728".encode("gbk"), False),
        ("G\u6587\u4ef6 ".encode("gbk") * 200, False),
        ("Datei nicht gefunden \u2013 gel\u00f6scht".encode() * 40, False),
        ("\u6587\u4ef6\u4e0d\u5b58\u5728".encode()[:-1], False),
        ("\u6587\u4ef6\u4e0d\u5b58\u5728".encode("gbk")[:-1], False),
        (("G" + "a" * 187).encode() * 5, False),
        ((b"G\x40\x00\x10\x00\x00" + b"\xff" * 182) * 5, True),
        (b"G\x1f\xff\x10" + b"\xff" * 60, True),
        (b"\0\0\0\x1cftypiso5", True),
        (b"\0\0\2\x00moof", True),
        (b"\xff\xf9\x4c\x80" + b"\x21\x10\x04\x60\x8c\x1c" * 10, True),
        (b"\xff\xfb\x90\x64" + b"U" * 60, True),
        (b"\x0bw\xab\xcd" + b"P" * 60, True),
        (bytes(range(128, 256)), True),
    ],
)
def test_pages_and_other_texts_begin_no_segment(body: bytes, plays: bool) -> None:
    assert may_be_media(body) is plays


@pytest.mark.parametrize(
    ("address", "data"),
    [
        ("data:text/plain;base64,AAECAw==", b"\0\1\2\3"),
        ("DATA:;base64,AAECAw%3D%3D", b"\0\1\2\3"),
        ("data:,ab%ff", b"ab\xff"),
        ("data:;base64,A", b""),
        ("data:", b""),
        ("https://cdn.example/key", None),
        ("database/key", None),
    ],
)
def test_address_may_hold_its_data_itself(address: str, data: bytes | None) -> None:
    assert inline(address) == data
