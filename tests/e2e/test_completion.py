# SPDX-License-Identifier: MIT
"""Completion in the real bash, zsh and fish, as the build has generated it."""
import contextlib
import os
import pty
import re
import select
import shutil
import time

import pytest
from conftest import BUILD
from mount import SLOWER, environment, output_of

DATA = BUILD / "data"


class Shell:
    """An interactive shell on a terminal; Ctrl-G shows the line as it stands."""

    def __init__(self, command, setup, env, cwd):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execvpe(command[0], command, env)
        self.send("".join(line + "\n" for line in setup) + "printf '%s' rea''dy; printf '%s\\n' '#'\n")
        self.read_until("ready#")

    def send(self, text):
        os.write(self.fd, text.encode())

    def read_until(self, pattern):
        shown = ""
        deadline = time.monotonic() + 20 * SLOWER
        while not (match := re.search(pattern, shown, re.S)):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], shown
            shown += os.read(self.fd, 65536).decode(errors="replace")
        return shown, match

    def complete(self, typed):
        """The line after a Tab, and all that was shown meanwhile."""
        self.send(typed + "\t\a")
        shown, match = self.read_until(r"<<([^\r\n]*)>>")
        self.send("\x15")  # Ctrl-U: an empty line for the next
        return match.group(1), shown

    def close(self):
        os.close(self.fd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


BASH = [
    "PS1=",
    f"source '{DATA}/stacksfs'",
    "bind 'set show-all-if-ambiguous on'; bind 'set page-completions off'",
    "bind 'set completion-query-items 0'; bind 'set enable-bracketed-paste off'",
    r"""bind -x '"\C-g": printf "<<%s>>\n" "$READLINE_LINE"'""",
]
ZSH = [
    "PS1= PS2= RPS1=; unsetopt zle_bracketed_paste prompt_sp prompt_cr; LISTMAX=1000",
    f"fpath=('{DATA}' $fpath); autoload -Uz compinit; compinit -u -D",
    "dump() { print -r -- \"<<$BUFFER>>\" }; zle -N dump; bindkey '^G' dump",
]


@pytest.fixture(params=["bash", "zsh"])
def shell(request, harness):
    if not shutil.which(request.param):
        pytest.skip(f"no {request.param} here")
    work = harness.work
    place = work / "place"
    place.mkdir()
    (place / "secret.token").touch()
    (place / "somewhere").mkdir()
    env = environment(work, dict(TERM="dumb", INPUTRC="/dev/null", HISTFILE="/dev/null"))
    command = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}
    shell = Shell(command[request.param], {"bash": BASH, "zsh": ZSH}[request.param], env, place)
    yield shell
    shell.close()


@pytest.mark.parametrize("typed, completed", [
    ("stacksfs sta", "stacksfs status "),
    ("stacksfs ref", "stacksfs refresh "),
    ("stacksfs doc", "stacksfs doctor "),
    ("stacksfs status --js", "stacksfs status --json "),
    ("stacksfs status --ch", "stacksfs status --check "),
    ("stacksfs us some", "stacksfs us somewhere/"),
    ("stacksfs us -o tt", "stacksfs us -o ttl="),
    ("stacksfs us -o ttl=5,tok", "stacksfs us -o ttl=5,token"),
    ("stacksfs us -o ro,overw", "stacksfs us -o ro,overwrite"),
    ("stacksfs us -o token_file=sec", "stacksfs us -o token_file=secret.token"),
    ("stacksfs us -o ro,token_file=sec", "stacksfs us -o ro,token_file=secret.token"),
    ("stacksfs doctor -o state=some", "stacksfs doctor -o state=somewhere/"),
])
def test_one_possibility(shell, typed, completed):
    line, shown = shell.complete(typed)
    assert line.rstrip(", ") == completed.rstrip(), shown


def test_all_options(shell):
    shell.complete("stacksfs us -o ")
    _, shown = shell.complete("stacksfs us -o ")
    for option in ("token_file", "ttl", "max_rotate", "dry_run", "fsname", "overwrite"):
        assert option in shown, option


def test_first_words(shell):
    shell.complete("stacksfs ")
    _, shown = shell.complete("stacksfs ")
    for word in ("status", "refresh", "doctor", "us", "eu", "somewhere"):
        assert re.search(rf"\b{word}\b", shown), word


# ---- fish says it without a terminal ----

@pytest.fixture
def fish(harness):
    if not shutil.which("fish"):
        pytest.skip("no fish here")
    work = harness.work
    (work / "secret.token").touch()
    (work / "somewhere").mkdir()

    def complete(line):
        script = f"source '{DATA}/stacksfs.fish'; complete -C '{line}'"
        output = output_of(["fish", "--no-config", "-c", script], cwd=work, env=environment(work))
        return dict((row + "\t").split("\t")[:2] for row in output.splitlines())

    return complete


def test_fish(fish):
    assert {"status", "refresh", "doctor", "us", "eu", "somewhere/"} <= set(fish("stacksfs "))
    assert set(fish("stacksfs status --")) >= {"--json", "--check"}
    assert "status" not in fish("stacksfs status ")
    assert fish("stacksfs us -o tt") == {
        "ttl=": "how long an answer is fresh (30; 0: ask every time)"}
    assert set(fish("stacksfs us -o ro,tok")) == {"ro,token_file=", "ro,tokens=no"}
    assert set(fish("stacksfs us -o ro,token_file=sec")) == {"ro,token_file=secret.token"}
    assert set(fish("stacksfs doctor -o cacert=sec")) == {"cacert=secret.token"}
    assert "somewhere/" in fish("stacksfs us some")
    assert len(fish("stacksfs us -o ")) >= 25


def test_mount_points(account, mount, fish):
    """status and refresh offer what is mounted."""
    api = account()
    mnt = mount(api)
    assert str(mnt.path) in fish("stacksfs refresh ")
    assert str(mnt.path) in fish("stacksfs status ")
    api.expect(list=1)


# ---- the shells' own checks ----

@pytest.mark.parametrize("shell_name, name", [("bash", "stacksfs"), ("zsh", "_stacksfs"),
                                              ("fish", "stacksfs.fish")])
def test_syntax(shell_name, name):
    if not shutil.which(shell_name):
        pytest.skip(f"no {shell_name} here")
    assert output_of([shell_name, "-n", DATA / name]) == ""
    assert "@" + "OPTIONS" not in (DATA / name).read_text()
