# SPDX-License-Identifier: MIT
"""The manual pages say what the programs do: every option, file, variable, signal and errno."""
import re
import shutil

import pytest
from conftest import BUILD, EMULATOR, STACKSFS, TOP
from mount import environment, output_of, run

PAGES = ["stacksfs.1", "stacks-emulator.1", "mount.stacksfs.8"]


def text_of(path):
    """A section's lines, by its heading, of the source."""
    sections, heading = {}, None
    for line in path.read_text().splitlines():
        if line.startswith("# "):
            heading = line[2:]
            sections[heading] = []
        elif heading:
            sections[heading].append(line)
    return {name: "\n".join(lines) for name, lines in sections.items()}


def terms(section):
    """What is explained: the lines before those that are indented."""
    lines = section.splitlines()
    return [line for line, following in zip(lines, lines[1:])
            if following.startswith("\t") and line and not line.startswith("\t")]


@pytest.fixture
def page():
    return text_of(TOP / "man" / "stacksfs.1.scd")


@pytest.fixture
def help_options(stacksfs):
    """{option: (value, help)} of -o, in order."""
    lines = stacksfs("--help").stdout.split("Options of -o", 1)[1].splitlines()[1:]
    options, last = {}, None
    for line in lines:
        if line[2] != " ":
            name, text = re.fullmatch(r"  (\S+) +(.*)", line).groups()
            last, _, value = name.partition("=")
            options[last] = [value, text]
        else:
            options[last][1] += " " + line.strip()
    return options


def test_every_option_of_o_is_explained_once_in_order(page, help_options):
    section = page["OPTIONS"].split("## Options of -o", 1)[1]
    explained = re.findall(r"\*(\w+)(?:=(?:\*_([A-Z]+)_(?::\.\.\.)?|(no)\*))?\*?(?=,|$)",
                           "\n".join(terms(section)), re.M)
    assert [name for name, _, _ in explained] == list(help_options)
    for name, value, fixed in explained:
        assert (value or fixed) == help_options[name][0].removesuffix(":..."), name


def test_the_defaults_are_the_same(page, help_options):
    section = page["OPTIONS"].split("## Options of -o", 1)[1]
    texts = dict(re.findall(r"^\*(\w+)[^\n]*\n((?:\t[^\n]*\n?)+)", section, re.M))
    numbers = {name: re.findall(r"\((\d+M?)\b", text) for name, (_, text) in help_options.items()}
    assert sum(map(bool, numbers.values())) >= 9
    for name, values in numbers.items():
        for value in values:
            assert re.search(rf": {value}\b", texts[name]), f"{name}: {value}"


def test_flags_and_commands(page, stacksfs):
    shown = stacksfs("--help").stdout
    flags = set(re.findall(r"(?<![\w-])--?[a-z]+", shown.split("Options of -o")[0])) - {"-u", "-o"}
    synopsis = page["SYNOPSIS"].replace("*", "").replace("_", "")
    explained = set(re.findall(r"\*(--?\w+)\*", "\n".join(terms(page["OPTIONS"]))))
    assert flags <= explained
    for line in re.findall(r"(?:Usage:|^ {6}) (stacksfs .*)", shown, re.M):
        assert line in synopsis
    for flag in explained:
        assert run([STACKSFS, flag, "--help"]).returncode == 0 or flag in ("--json", "--check")


def sources():
    return {path: path.read_text() for path in (TOP / "src").rglob("*.c")}


def test_every_variable_is_explained(page):
    asked = set()
    for text in sources().values():
        asked.update(re.findall(r'getenv\("(\w+)"\)', text))
        asked.update(re.findall(r'#define (?:ENVIRONMENT|\w+_VARIABLE)\s+"(\w+)"', text))
    assert {"CELIGO_API_TOKEN", "CELIGO_BASE_URL", "NOTIFY_SOCKET"} <= asked
    explained = set(re.findall(r"\*(\w+)\*", "\n".join(terms(page["ENVIRONMENT"]))))
    assert asked <= explained


def test_every_signal_is_explained(page):
    handled = set(re.findall(r"sigaddset\(ret, (SIG\w+)\)", (TOP / "src/main.c").read_text()))
    handled -= {"SIGUSR1", "SIGUSR2"}  # between its own threads
    assert handled == set(re.findall(r"\*(SIG\w+)\*", "\n".join(terms(page["SIGNALS"]))))


def test_every_errno_is_explained(page):
    """What the tables make of answers and of connections, and what is refused here."""
    made = set()
    for path, text in sources().items():
        if path.name in ("error.c", "curl_error.c"):
            made.update(re.findall(r"[{-]\s*(?:\d+, \d+, -|CURLE_\w+, |)(E[A-Z]{2,})\b", text))
        if path.parent.name in ("fs", "fuse"):
            made.update(re.findall(r"(?:return|fail\(\w+,|refuse\(\w+,) -(E[A-Z]+)\b", text))
    made -= {"EAGAIN", "EMSGSIZE", "ECANCELED", "ESHUTDOWN", "EILSEQ", "EBADF", "ENODATA",
             "EOPNOTSUPP", "ENETDOWN", "EADDRNOTAVAIL", "ECONNRESET", "ELOOP"}  # of within
    explained = set(re.findall(r"\*(E[A-Z]+)\*", "\n".join(terms(page["ERRORS"]))))
    assert {"EACCES", "EBUSY", "EBADMSG", "ETIMEDOUT", "EPROTO", "ECONNREFUSED"} <= made
    assert made <= explained


def test_every_file_is_explained(page):
    table = (TOP / "src/fs/node.c").read_text()
    names = set(re.findall(r'\[NODE_\w+\] = \{ [^}"]*"([^"]+)" \}', table))
    assert {"config.json", "systemToken", ".stacksfs/status", ".stacksfs/lost"} <= names
    section = "\n".join(terms(page["FILES"]))
    for name in names - {".stacksfs"}:
        assert name in section, name


# ---- as they are read ----

@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_well_formed(work, name):
    if not (BUILD / "man" / name).exists() or not shutil.which("man"):
        pytest.skip("no scdoc or no man here")
    done = run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", BUILD / "man" / name],
               env=environment(work, {"MANWIDTH": "80"}))
    shutil.rmtree(work)
    assert (done.returncode, done.stderr) == (0, "")
    shown = re.sub(r".\x08|\x1b\[[0-9;]*m", "", done.stdout)
    for heading in ("NAME", "SYNOPSIS", "OPTIONS", "EXIT STATUS", "SEE ALSO"):
        assert f"\n{heading}\n" in shown


def test_the_emulators_page(work):
    shown = output_of([EMULATOR, "--help"])
    shutil.rmtree(work)
    section = text_of(TOP / "man" / "stacks-emulator.1.scd")["OPTIONS"]
    explained = "\n".join(terms(section))
    options = re.findall(r"--[a-z-]+", shown)
    assert re.findall(r"--[a-z-]+", explained) == options
    texts = re.findall(r"^\*--([\w-]+)[^\n]*\n((?:\t[^\n]*\n?)+)", section, re.M)
    for name, default in re.findall(r"^  --([\w-]+)=\S+ .*\((\S+?)\)$", shown, re.M):
        assert any(default in text for option, text in texts if option == name), name


def test_pages_are_under_their_width():
    for name in PAGES:
        for line in (TOP / "man" / f"{name}.scd").read_text().splitlines():
            assert len(line) <= 120
