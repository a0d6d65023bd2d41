# SPDX-License-Identifier: MIT
"""What the compiler and the linker were asked for, as it stands in the program."""
import json
import re
import shutil
import subprocess

import pytest
from conftest import BUILD, STACKSFS

pytestmark = pytest.mark.skipif(not shutil.which("readelf"), reason="no readelf here (binutils)")


def readelf(*options):
    return subprocess.run(["readelf", "-W", *options, STACKSFS], capture_output=True, text=True,
                          check=True).stdout


def build_option(name):
    options = json.loads((BUILD / "meson-info" / "intro-buildoptions.json").read_text())
    return next(option["value"] for option in options if option["name"] == name)


def test_position_independent():
    assert re.search(r"Type:\s+DYN", readelf("-h"))
    assert re.search(r"FLAGS_1\).*\bPIE\b", readelf("-d"))


def test_full_relro():
    assert "GNU_RELRO" in readelf("-l")
    assert re.search(r"BIND_NOW|FLAGS_1\).*\bNOW\b", readelf("-d"))


def test_nothing_is_writable_and_executable():
    segments = [line.split() for line in readelf("-l").splitlines()
                if re.match(r"\s+(LOAD|GNU_STACK)\s", line)]
    flags = ["".join(fields[6:-1]) for fields in segments]
    assert flags and not any("W" in flag and "E" in flag for flag in flags)
    assert any(fields[0] == "GNU_STACK" for fields in segments)


def test_no_search_path():
    assert not re.search(r"RPATH|RUNPATH", readelf("-d"))


def test_stack_protector():
    assert "__stack_chk_fail" in readelf("--dyn-syms")


@pytest.mark.skipif(build_option("b_sanitize") != "none" or
                    build_option("optimization") in ("0", "g", "plain"),
                    reason="only where code is optimised and not sanitised")
def test_fortified():
    symbols = readelf("--dyn-syms")
    for function in ("__memcpy_chk", "__snprintf_chk", "__vsnprintf_chk"):
        assert function in symbols
    commands = json.loads((BUILD / "compile_commands.json").read_text())
    own = [c["command"] for c in commands if "/src/" in c["file"] or c["file"].startswith("src/")]
    assert own and all("-D_FORTIFY_SOURCE=3" in command for command in own)
