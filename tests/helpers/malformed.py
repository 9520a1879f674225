"""Files that must be refused with one clear line: every way to be broken that people and attackers bring."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

GZIP_BOMB = 80_000_000
"""Bytes that the gzip bombs unpack to."""


@dataclass(frozen=True)
class Malformed:
    """A file's name and bytes; ``fault`` says what is wrong with it."""

    name: str
    data: bytes
    fault: str

    @property
    def suffix(self) -> str:
        """The end of the name, in small letters, with its dot."""
        return "." + self.name.rsplit(".", 1)[-1].lower()


WORDS = ("net", "boat", "tide", "loom", "wool", "anvil", "ember", "rivet", "harbour", "spindle")
ODD_NAMES = ("<img src=x onerror=alert(1)>", "a\nb", "'; drop table runs; --", "‮txt", "=cmd()", "![x](x.test)")


def _text(draw: random.Random, words: int = 8) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(words))


def _csv(draw: random.Random, rows: int = 20) -> list[bytes]:
    return [b"text,label\n", *(f"{_text(draw)},{draw.choice('xy')}\n".encode() for _ in range(rows))]


def _jsonl(draw: random.Random, rows: int = 20) -> list[bytes]:
    return [(json.dumps({"text": _text(draw), "label": draw.choice("xy")}) + "\n").encode() for _ in range(rows)]


def _spoil(lines: list[bytes], draw: random.Random, bad: bytes) -> bytes:
    """The lines with a bad one somewhere after the first."""
    at = draw.randrange(1, len(lines))
    return b"".join([*lines[:at], bad, *lines[at:]])


def _any(draw: random.Random) -> tuple[str, list[bytes]]:
    return draw.choice([("csv", _csv(draw)), ("jsonl", _jsonl(draw)), ("txt", _jsonl(draw))])


def _encoding(draw: random.Random) -> tuple[str, bytes]:
    suffix, lines = _any(draw)
    bad = draw.choice([b"\xff\xfe", b"caf\xe9", b"\xc3\x28", b"\xed\xa0\x80", b"\xf0\x9f\x92", b"\x80"])
    return suffix, _spoil(lines, draw, bad + b",x\n")


def _utf16(draw: random.Random) -> tuple[str, bytes]:
    suffix, lines = _any(draw)
    return suffix, b"".join(lines).decode().encode(draw.choice(["utf-16", "utf-32", "utf-16-be"]))


def _nul(draw: random.Random) -> tuple[str, bytes]:
    suffix, lines = _any(draw)
    return suffix, _spoil(lines, draw, b"a\0b,x\n")


def _binary(draw: random.Random) -> tuple[str, bytes]:
    head = draw.choice(
        [b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"\x7fELF", b"%PDF-1.7\n%\xe2\xe3", b"\x1f\x8b\x08\x00", b""]
    )
    return draw.choice(["csv", "tsv", "jsonl", "txt", "json"]), head + draw.randbytes(draw.randrange(64, 4096))


def _empty(draw: random.Random) -> tuple[str, bytes]:
    data = draw.choice([b"", b"\n", b" \n\t\n", b"\xef\xbb\xbf", b"\r\n\r\n", b"\n" * 1000])
    return draw.choice(["csv", "tsv", "jsonl", "txt", "json"]), data


def _header_only(draw: random.Random) -> tuple[str, bytes]:
    return draw.choice([("csv", b"text,label\n"), ("tsv", b"text\tlabel"), ("csv", b"text,label\n,\n,\n")])


def _ragged(draw: random.Random) -> tuple[str, bytes]:
    return "csv", _spoil(_csv(draw), draw, draw.choice([b"one\n", b"one,two,three\n", b",,,,,\n"]))


def _quotes(draw: random.Random) -> tuple[str, bytes]:
    bad = draw.choice([b'"never closed,x\n', b'"closed"early,x\n', b'"a""b,x\n'])
    return "csv", b"".join(_csv(draw)) + bad


def _columns(draw: random.Random) -> tuple[str, bytes]:
    count = draw.randrange(201, 2000)
    names = [f"c{i}" for i in range(count)]
    return draw.choice(
        [
            ("csv", ",".join(names).encode() + b"\n" + b",".join([b"1"] * count)),
            ("jsonl", json.dumps(dict.fromkeys(names, "x")).encode()),
            ("jsonl", b"".join(json.dumps({name: "x"}).encode() + b"\n" for name in names)),
            ("csv", b"text,text\na,b\n"),
            ("csv", b"x" * 5000 + b",label\na,b\n"),
            ("jsonl", json.dumps({"k" * 70_000: "x"}).encode()),
        ]
    )


def _deep(draw: random.Random) -> tuple[str, bytes]:
    depth = draw.randrange(20_000, 100_000)
    opened, closed = draw.choice([(b'{"a":', b"}"), (b"[", b"]"), (b'{"a":[', b"]}")])
    return draw.choice(["jsonl", "json"]), opened * depth + b"1" + draw.choice([closed * depth, b""])


def _json_line(draw: random.Random) -> tuple[str, bytes]:
    bad = draw.choice(
        [
            b'{"text": "cut\n', b"{'text': 'quotes'}\n", b'{"text": "a",}\n', b"[1, 2]\n", b'"text"\n', b"17\n",
            b"null\n",            b'{"text": undefined}\n', b'{"text": "a"} {"text": "b"}\n', b'{"text": "\\x"}\n',
            b"<html></html>\n", b'{"text": ' + b"9" * 50_000 + b"}\n", b'{"text": "a\tb"}\n',
        ]
    )  # fmt: skip
    return "jsonl", _spoil(_jsonl(draw), draw, bad)


def _json_file(draw: random.Random) -> tuple[str, bytes]:
    return "json", draw.choice(
        [
            b'[{"text": "a"}, {"text": "b"', b'[{"text": "a"} {"text": }]', b'["a", "b"]', b'[[1], [2]]', b'"text"',
            b"{",            b'{"text": \n"a"', b"true", b'[{"text": "a"}, 3]', b"[", b"[]", b"{}",
        ]
    )  # fmt: skip


def _huge(draw: random.Random) -> tuple[str, bytes]:
    field = draw.choice([b"a", "é".encode(), b"a "]) * draw.randrange(1_000_001, 1_100_000)
    return draw.choice(
        [
            ("csv", b"text,label\n" + field + b",x\n"),
            ("jsonl", b'{"text": "' + field + b'"}\n'),
            ("txt", b"short\n" + field + b"\n"),
            ("json", b'[{"text": "' + field + b'"}]'),
        ]
    )


def _wrong_kind(draw: random.Random) -> tuple[str, bytes]:
    return draw.choice(["xlsx", "pdf", "docx", "exe", "zip", "pkl", "py", "jsonl.zst"]), draw.randbytes(200)


def _gzip(draw: random.Random) -> tuple[str, bytes]:
    packed = gzip.compress(b"".join(_jsonl(draw, 200)), mtime=0)
    broken = bytearray(packed)
    broken[len(packed) // 2] ^= 255
    return "jsonl.gz", draw.choice([packed[: len(packed) // 2], bytes(broken), b"not gzip", b"", packed[:-6]])


def _gzip_bomb(draw: random.Random) -> tuple[str, bytes]:
    unit = draw.choice([b"\0", b"\n", b" ", b"a"])
    held = io.BytesIO()
    with gzip.GzipFile(fileobj=held, mode="wb", compresslevel=1, mtime=0) as file:
        for _ in range(GZIP_BOMB // 1_000_000):
            file.write(unit * 1_000_000)
    return draw.choice(["csv.gz", "jsonl.gz", "txt.gz"]), held.getvalue()


def _parquet(draw: random.Random) -> tuple[str, bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    held = io.BytesIO()
    pq.write_table(pa.table({"text": [_text(draw) for _ in range(50)]}), held)
    whole = held.getvalue()
    return "parquet", draw.choice([whole[:-20], whole[: len(whole) // 2], b"PAR1" + draw.randbytes(500) + b"PAR1", b""])


def _parquet_bomb(draw: random.Random) -> tuple[str, bytes]:
    """A single page that unpacks to 300 MB, or a value of 2 MB that stands in a million rows, in a few kilobytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    held = io.BytesIO()
    if draw.random() < 0.5:
        table = pa.table({"text": ["a" * 1_000_000] * 300})
        options = {"use_dictionary": False, "data_page_size": 1 << 30, "write_batch_size": 1000}
    else:
        values = pa.DictionaryArray.from_arrays(pa.array([0] * 300_000, pa.int32()), pa.array(["a" * 2_000_000]))
        table, options = pa.table({"text": values}), {}
    pq.write_table(table, held, compression="zstd", **options)
    return "parquet", held.getvalue()


def _arrow(draw: random.Random) -> tuple[str, bytes]:
    import pyarrow as pa

    table = pa.table({"text": [_text(draw) for _ in range(50)]})
    held, packed = io.BytesIO(), draw.random() < 0.4
    options = pa.ipc.IpcWriteOptions(compression="zstd" if packed else None)
    with pa.ipc.new_stream(held, table.schema, options=options) as writer:
        writer.write_table(table)
    whole = held.getvalue()
    broken = draw.choice([whole[: len(whole) // 2], draw.randbytes(300), b"ARROW1\0\0" + draw.randbytes(300), b""])
    return "arrow", whole if packed else broken


KINDS: dict[str, tuple[Callable[[random.Random], tuple[str, bytes]], int]] = {
    "encoding": (_encoding, 40),
    "utf-16": (_utf16, 15),
    "nul": (_nul, 20),
    "binary": (_binary, 30),
    "empty": (_empty, 15),
    "header only": (_header_only, 6),
    "ragged": (_ragged, 30),
    "quotes": (_quotes, 20),
    "columns": (_columns, 20),
    "deep": (_deep, 15),
    "json line": (_json_line, 40),
    "json file": (_json_file, 12),
    "huge field": (_huge, 8),
    "wrong kind": (_wrong_kind, 8),
    "gzip": (_gzip, 8),
    "gzip bomb": (_gzip_bomb, 4),
    "parquet": (_parquet, 4),
    "parquet bomb": (_parquet_bomb, 3),
    "arrow": (_arrow, 5),
}
"""How each kind is made, and how many of 303."""


def malformed(
    seed: int = 0,
    *,
    share: float = 1.0,
    suffixes: Container[str] | None = None,
    kinds: Container[str] | None = None,
) -> Iterator[Malformed]:
    """About 300 files (times ``share``), the same ones for a seed; perhaps only some suffixes (``.csv``) or kinds."""
    number = 0
    for kind, (make, count) in KINDS.items():
        for turn in range(max(1, round(count * share))):
            number += 1
            if kinds is not None and kind not in kinds:
                continue
            suffix, data = make(random.Random(f"{seed} {kind} {turn}"))
            stem = ODD_NAMES[number // 10 % len(ODD_NAMES)] if number % 10 == 0 else f"{kind} {turn}"
            file = Malformed(f"{stem}.{suffix}", data, kind)
            if suffixes is None or file.suffix in suffixes:
                yield file
