# SPDX-License-Identifier: MIT
"""What a mount must show for what the API says: a second, independent reading of the rules.

Shares nothing with the program: it works on the text of the API's answers, because a parsed
JSON value has lost what must be kept (9007199254740993, 1.10, escapes, key order).
"""
import datetime
import json
import re

NAME_MAX = 255
MTIME_SPREAD_S = 2**22  # mtime of systemToken and dependencies: createdAt less 0 to this many seconds

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{},:]|[^][{},:\s"]+', re.S)


def layout(text):
    """JSON text, laid out anew: 2 spaces a level, one member a line, every token as it was."""
    out, depth, previous = [], 0, ""
    tokens = TOKEN.findall(text)
    for token in tokens:
        newline = "\n" + "  " * depth
        if token in "}]":
            depth -= 1
            if previous not in "{[":
                out.append("\n" + "  " * depth)
        elif previous in ("{", "[", ","):
            out.append(newline)
        out.append(": " if token == ":" else token)
        if token in "{[":
            depth += 1
        previous = token
    return "".join(out) + "\n"


def split_array(text):
    """The texts of the elements of a JSON array."""
    decoder = json.JSONDecoder(strict=False)
    at, elements = text.index("[") + 1, []
    while True:
        at = re.compile(r"[\s,]*").match(text, at).end()
        if text[at] == "]":
            return elements
        _, end = decoder.raw_decode(text, at)
        elements.append(text[at:end])
        at = end


def parse_time_ms(text):
    when = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
    return round(when.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000)


class Record:
    """One stack as the API shows it."""

    def __init__(self, raw):
        self.raw = raw  # text; bytes that are not UTF-8 are surrogates (PEP 383)
        self.json = json.loads(raw, strict=False)
        self.id = self.json["_id"]
        self.name = self.json.get("name", "")
        self.type = self.json.get("type")
        self.created_ms = parse_time_ms(self.json["createdAt"])
        self.modified_ms = parse_time_ms(self.json["lastModified"])

    @property
    def config(self):
        """The bytes of config.json."""
        return layout(self.raw).encode("utf-8", "surrogateescape")

    @property
    def files(self):
        return sorted(["config.json", "dependencies"] + ["systemToken"] * (self.type == "server"))


def name_bytes(name):
    """A JSON string's value as bytes; a surrogate that json.loads made of a broken byte is that
    byte, one that the text itself escapes is its three-byte form."""
    parts = []
    for char in name:
        if 0xDC80 <= ord(char) <= 0xDCFF:
            parts.append(bytes([ord(char) - 0xDC00]))
        else:
            parts.append(char.encode("utf-8", "surrogatepass"))
    return b"".join(parts)


def characters(raw):
    """raw, cut into well-formed characters and single other bytes."""
    at = 0
    while at < len(raw):
        for length in (1, 2, 3, 4):
            try:
                raw[at:at + length].decode("utf-8")
                break
            except UnicodeDecodeError:
                continue
        else:
            length = 1
        yield at, raw[at:at + length]
        at += length


def escaped(raw):
    """The pieces of a directory name, one a character."""
    own_suffix = re.search(rb"~[0-9a-fA-F]{24}$", raw)
    for at, char in characters(raw):
        try:
            char.decode("utf-8")
            plain = True
        except UnicodeDecodeError:
            plain = False
        if char[0] < 0x20 or char in b"\x7f/" or at == 0 and char == b".":
            plain = False
        if char == b"%" and re.match(rb"%[0-9a-fA-F]{2}", raw[at:]):
            plain = False
        if own_suffix and at == own_suffix.start():
            plain = False
        yield char if plain else b"".join(b"%%%02X" % byte for byte in char)


def fit(pieces, size):
    out = b""
    for piece in pieces:
        if len(out) + len(piece) > size:
            break
        out += piece
    return out


def unescaped(directory):
    """The name that a directory's name stands for (without a ~id)."""
    raw = directory.encode("utf-8", "surrogateescape")
    return re.sub(rb"%([0-9a-fA-F]{2})", lambda m: bytes([int(m.group(1), 16)]), raw)


def directory_names(records):
    """{directory name: record}, by the rules for names."""
    names = {}
    for record in sorted(records, key=lambda r: r.id):
        pieces = list(escaped(name_bytes(record.name)))
        suffix = b"~" + record.id.encode()
        plain = b"".join(pieces) or record.id.encode()
        if len(plain) > NAME_MAX or plain in names:
            plain = fit(pieces, NAME_MAX - len(suffix)) + suffix
        assert plain not in names
        names[plain] = record
    return {name.decode("utf-8", "surrogateescape"): record for name, record in names.items()}


def all_configs(directories):
    """What `cat */config.json` prints: in the order of the paths, a-b/… before a/…"""
    paths = sorted(f"{name}/" for name in directories)
    return "".join(directories[path[:-1]].config.decode() for path in paths)
