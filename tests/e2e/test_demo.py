# SPDX-License-Identifier: MIT
"""scripts/demo: the tour is what it says, and leaves nothing behind."""
import contextlib
import os
import pty
import re
import select
import time
from xml.etree import ElementTree

import pytest
from conftest import BUILD, TOP, fuse_is_missing
from mount import SLOWER, environment, mounts_below, run, wait_for_exit

pytestmark = [
    pytest.mark.skipif(fuse_is_missing(), reason="no /dev/fuse here"),
    pytest.mark.skipif(BUILD != TOP / "build", reason="the demo shows what is in build/"),
]
DEMO = TOP / "scripts" / "demo"
SEEN = [
    r"(?m)^\$ cat \*/config\.json \| jq -r \.name \| head -5\n([a-z-]+\n){5}",
    r"(?m)^\$ cat \S+/systemToken\n[0-9a-f]{32}$",
    r"\(requests so far: 1\)",
    r"files transferred: 64\n(.*\n)+.*files transferred: 0\n",
    r"\nno difference\n",
    r'>     "hostURI": "https://moved\.example\.com"',
    r'(?m)^    "hostURI": "https://new\.example\.com"(.*\n)+\$ cp .*\n\$ grep .*\n'
    r'    "hostURI": "https://moved\.example\.com"',
    r"Bad message\n\$ tail -1 .*\ntype: is not one of the values that are allowed\n",
    r"(?m)^config\.json\.refused$",
    r"(?m)^another/systemToken$",
    r"(?m)^gone$",
    r"in use by flows",
    r"(?m)^state +ok",
    r"whole tour has cost: 98\n",
]


@pytest.fixture
def env(harness, work):
    (work / "run").mkdir()
    return environment(work, {"XDG_RUNTIME_DIR": work / "run", "TERM": "dumb"})


def is_clean(work):
    assert os.listdir(work / "run") == []
    assert mounts_below(work) == []
    return True


def test_the_tour(env, work):
    done = run([DEMO], env=env)
    assert (done.returncode, done.stderr) == (0, "")
    for pattern in SEEN:
        assert re.search(pattern, done.stdout), (pattern, done.stdout)
    assert is_clean(work)


def test_on_a_terminal_it_stays_mounted_until_ctrl_c(env, work):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(DEMO, [str(DEMO)], env)
    shown, asked = "", 0
    deadline = time.monotonic() + 50 * SLOWER
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            shown += os.read(terminal, 4096).decode()
            place = re.search(r"Still mounted at (\S+)\. ", shown)
            if place and not asked:
                asked = len(os.listdir(place.group(1)))
                os.write(terminal, b"\x03")
    assert asked == 24, shown
    assert wait_for_exit(pid, 20 * SLOWER) == 0, shown
    os.close(terminal)
    assert is_clean(work)


def test_the_readmes_picture(env, work):
    """docs/demo.svg is what scripts/picture makes now, but for tokens."""
    done = run([TOP / "scripts" / "picture", work / "demo.svg"], env=env)
    assert (done.returncode, done.stderr) == (0, "")
    made = (work / "demo.svg").read_text()
    kept = (TOP / "docs" / "demo.svg").read_text()
    assert "docs/demo.svg" in (TOP / "README.md").read_text()
    assert re.sub("[0-9a-f]{32}", "TOKEN", made) == re.sub("[0-9a-f]{32}", "TOKEN", kept)
    assert len(kept) < 60000 and str(TOP) not in kept and str(work) not in kept
    shown = "".join(text + "\n" for text in ElementTree.fromstring(kept).itertext())
    assert "$ cat */config.json | jq -r .name | head -5\n" in shown
    assert is_clean(work)
