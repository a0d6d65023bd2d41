# SPDX-License-Identifier: MIT
"""Every operation with every fault: it ends in time, with an errno and a reason, and loses nothing.

One table of operations and one of faults make the grid. docs/faults.md shows what comes of each
pair; it is written by STACKSFS_FAULTS_WRITE=1, and what it says is tested here.
"""
import base64
import concurrent.futures
import email.utils
import errno
import os
import pathlib
import re
import threading
import time

import pytest
from account import DEPENDENCIES, LIST, RECORD, TOKEN, Account
from conftest import EMULATOR, LONG, STACKSFS, TOP
from gate import Gate
from mount import SLOWER, Mount, eventually, run
from saving import ID, editable

pytestmark = [pytest.mark.misuse("a lost answer makes requests twice"),
              pytest.mark.seconds(120)]

TIMEOUT_S = int(2 * SLOWER)
SLACK_S = 1.5
PAGE = TOP / "docs" / "faults.md"
WRITE = "STACKSFS_FAULTS_WRITE" in os.environ
AT_ONCE = 14
HTML = "<html><body>Bad Gateway</body></html>"


# ---- the faults ----

def raw(text):
    return dict(kind="garbage", body_base64=base64.b64encode(text).decode())


def status(code, **more):
    return dict(kind="status", status=code, **more)


def in_an_hour():
    return email.utils.formatdate(time.time() + 3600, usegmt=True)


FAULTS = {
    "refused": "shut",
    "no answer to a SYN": "block",
    "connected, and silence": "hold",
    "killed, back after 0.5 s": "restart",
    "reset before the header": dict(kind="reset"),
    "reset after the header": dict(kind="reset", at_byte=150),
    "stall after a byte": dict(kind="drip", drip_ms=60_000),
    "hang": dict(kind="hang"),
    "slow drip": dict(kind="drip", drip_ms=150, body="x" * 200),
    "answer lost, done": dict(kind="drop", apply=True),
    "answer lost once, done": dict(kind="drop", apply=True, times=1),
    "503 once": dict(kind="status", status=503, times=1),
    "401": status(401, body='{"message":"Bearer Authentication Failed"}'),
    "403": status(403),
    "404": status(404),
    "408": status(408),
    "409": status(409),
    "412": status(412),
    "413": status(413),
    "422": status(422),
    "429": status(429),
    "429, Retry-After: 3600": status(429, headers={"Retry-After": "3600"}),
    "429, Retry-After: a date": lambda: status(429, headers={"Retry-After": in_an_hour()}),
    "500": status(500),
    "502 with HTML": status(502, body=HTML, headers={"Content-Type": "text/html"}),
    "503": status(503),
    "body cut": dict(kind="truncate", at_byte=1),
    "length too small": raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            b"Content-Length: 1\r\n\r\n[]"),
    "length too large": raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            b"Content-Length: 999\r\n\r\n[]"),
    "gzip bomb": dict(kind="body", body="[" + " " * 65535, repeat=1100, content_encoding="gzip"),
    "garbage": dict(kind="garbage"),
    "200 with HTML": dict(kind="body", body=HTML),
    "302": status(302, headers={"Location": "http://127.0.0.1:9/v1/stacks"}),
}
GATES = ("shut", "block", "hold")
#: Left to --long: they cost more time or say no more than a neighbour does.
SELDOM = {"409", "412", "413", "502 with HTML", "500", "length too large", "200 with HTML",
          "429, Retry-After: a date"}


class World:
    """An account, a gate and a mount, for one pair."""

    def __init__(self, work, **options):
        work.mkdir(parents=True)
        self.api = Account(EMULATOR, stacks=0, log_dir=work)
        self.api.add_stack(editable("one", 1))
        self.api.add_stack(editable("two", 2))
        self.gate = Gate(self.api.port)
        self.mnt = Mount(STACKSFS, work, self.gate.url, self.api.token,
                         dict(dict(timeout=TIMEOUT_S, grace=1), **options))
        self.problems = []

    def __enter__(self):
        self.mnt.start()
        return self

    def __exit__(self, *_):
        self.problems += self.mnt.stop()
        self.problems += self.mnt.leaks(self.api.secrets())
        self.gate.close()
        self.api.stop()

    def begin(self, fault, **where):
        if fault in GATES:
            getattr(self.gate, fault)()
        elif fault == "restart":
            self.gate.shut()
            threading.Timer(0.5, self.gate.open).start()
        else:
            self.api.fault(**{**where, **(fault() if callable(fault) else fault)})

    def end(self, fault):
        if fault in GATES:
            self.gate.shut()
            self.gate.open()
        elif fault != "restart":
            self.api.clear_faults()
        # The circuit may be open: then its next probe is within two seconds.
        eventually(lambda: self.mnt.cli("refresh", self.mnt.path).returncode == 0, within=10)

    def living(self):
        return {s["name"]: s for s in self.api.account() if not s["deleted"]}


# ---- the operations: each calls, and says afterwards whether it was done ----

def program(*command):
    """A program's failure as an OSError, by what it says."""
    done = run(command)
    if done.returncode == 0:
        return
    words = {os.strerror(code): code for code in errno.errorcode}
    said = done.stderr.strip().splitlines()[0].rsplit(": ", 1)[-1]
    raise OSError(words.get(said, 0), done.stderr)


def save(text, path):
    """Truncate, write, fsync, close, in a process of its own: a child that this one forks for
    another pair would have the file open, too, and flush it when it closes it."""
    source = path.parent.parent.parent / "text"
    source.write_bytes(text)
    program("dd", f"if={source}", f"of={path}", "conv=fsync", "status=none")


class Ls:
    options = dict(ttl=0, stale=0)
    where = dict(path=LIST)

    def call(self, w):
        assert sorted(os.listdir(w.mnt.path)) == ["one", "two"]


class CatConfig(Ls):
    def call(self, w):
        w.mnt.config("one")


class CatToken:
    options = {}
    where = dict(path=TOKEN)

    def call(self, w):
        assert w.mnt.read("one", "systemToken")


class CatDependencies(CatToken):
    where = dict(path=DEPENDENCIES)

    def call(self, w):
        assert w.mnt.read("one", "dependencies")


class Refresh(CatToken):
    where = dict(path=LIST)

    def call(self, w):
        w.mnt.refresh()

    def check(self, w, failed):
        assert w.mnt.names() == ["one", "two"]


class Save:
    options = {}
    where = dict(method="PUT", path=RECORD)

    def call(self, w):
        self.text = w.mnt.config("one").replace(b"value0", b"value1")
        save(self.text, w.mnt / "one" / "config.json")

    def is_done(self, w):
        return w.living()["one"]["server"]["hostURI"].endswith("value1")

    def check(self, w, failed):
        """The record is the service's, and a text that was not taken is beside it and in lost."""
        assert b"value" in w.mnt.config("one")
        assert (b"value1" in w.mnt.config("one")) == self.is_done(w)
        refused = w.mnt / "one" / "config.json.refused"
        # A stack that was gone, the service says, had no directory for a while.
        assert refused.exists() == (failed not in (0, errno.ENOENT))
        if failed:
            assert not refused.exists() or refused.read_bytes() == self.text
            lost = pathlib.Path(w.mnt / ".stacksfs" / "lost")
            eventually(lambda: self.text in [p.read_bytes() for p in lost.glob("*.json")])


class Create:
    options = {}
    where = dict(method="POST", path=LIST)

    def call(self, w):
        self.text = b'{"name": "new", "type": "server", "server": {"hostURI": "https://h.example"}}\n'
        os.mkdir(w.mnt / "new")
        save(self.text, w.mnt / "new" / "config.json")

    def is_done(self, w):
        assert len([s for s in w.api.account() if s["name"] == "new"]) <= 1, "never twice"
        return "new" in w.living()

    def check(self, w, failed):
        text = w.mnt.config("new")
        assert text == self.text if failed and not self.is_done(w) else b'"name": "new"' in text


class Mv:
    options = {}
    where = dict(method="PUT", path=RECORD)

    def call(self, w):
        os.rename(w.mnt / "one", w.mnt / "uno")

    def is_done(self, w):
        return "uno" in w.living()

    def check(self, w, failed):
        assert w.mnt.names() == (["two", "uno"] if self.is_done(w) else ["one", "two"])


class Rotate:
    options = {}
    where = dict(method="DELETE", path=TOKEN)

    def call(self, w):
        self.before = w.api.system_token(ID)
        program("rm", w.mnt / "one" / "systemToken")

    def is_done(self, w):
        return w.api.system_token(ID) != self.before

    def check(self, w, failed):
        assert w.mnt.read("one", "systemToken") == w.api.system_token(ID)


class Delete:
    options = {}
    where = dict(method="DELETE", path="/v1/stacks/" + ID)

    def call(self, w):
        program("rm", "-r", w.mnt / "one")

    def is_done(self, w):
        return "one" not in w.living()

    def check(self, w, failed):
        gone = self.is_done(w)
        eventually(lambda: w.mnt.names() == (["two"] if gone else ["one", "two"]))
        if not gone:
            eventually(lambda: os.path.exists(w.mnt / "one" / "config.json"))


OPERATIONS = {
    "ls": Ls, "cat config.json": CatConfig, "cat systemToken": CatToken,
    "cat dependencies": CatDependencies, "save": Save, "create": Create, "mv": Mv,
    "rotate": Rotate, "delete": Delete, "refresh": Refresh,
}


# ---- one pair ----

def is_well(op, w, failed):
    """The first calls after a fault may still fail, while the circuit is open."""
    try:
        op.check(w, failed)
    except OSError:
        return False
    return True


def come_of(operation, fault_name, work):
    """What comes of it as docs/faults.md says it."""
    op, fault = OPERATIONS[operation](), FAULTS[fault_name]
    with World(work, **op.options) as w:
        w.mnt.names("one")
        w.begin(fault, **op.where)
        failed, began = 0, time.monotonic()
        try:
            op.call(w)
        except OSError as error:
            failed = error.errno
            assert failed, error.strerror
        took = time.monotonic() - began
        # Of the calls that rm makes, two ask: lstat and unlink, or unlink and rmdir.
        bound = TIMEOUT_S * (2 if operation in ("rotate", "delete") else 1) + SLACK_S * SLOWER
        assert took < bound, f"it took {took:.1f} s"
        name = errno.errorcode.get(failed, "ok")
        if failed and not (name == "ENOENT" and operation.startswith("cat ")):
            lines = [line for line in w.mnt.errors() if line["errno"] == name]
            assert lines and lines[-1]["message"], w.mnt.errors()
        w.end(fault)
        done = op.is_done(w) if hasattr(op, "is_done") else None
        if hasattr(op, "check"):
            eventually(lambda: is_well(op, w, failed), within=10 * SLOWER)
        problems = w.problems
    assert not problems, problems
    return f"{name}, done" if failed and done else name if failed else "ok"


def pair(operation, fault_name, work):
    try:
        return come_of(operation, fault_name, work)
    except Exception as error:  # one pair must not hide the others
        return f"BROKEN: {type(error).__name__} {error}"


# ---- the page ----

HEAD = """# Faults

What each operation comes to when the service, or the way to it, fails while it is asked: the
errno, or ok. *done*: the change has been made all the same, and the mount shows it. Always: the call
ends within `timeout`, `.stacksfs/errors` says why, what was shown stays, and a text that was not taken is
kept. The fault stays until the operation has ended, but for those that say once. Made by
`tests/e2e/test_faults.py`, which also tests it.

"""


def known():
    """{(operation, fault): what may come of it} of the page."""
    found, head = {}, None
    for line in PAGE.read_text().splitlines() if PAGE.exists() else []:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or line.startswith("| ---"):
            continue
        if head is None:
            head = cells[1:]
            continue
        for operation, cell in zip(head, cells[1:]):
            found[operation, cells[0]] = set(re.split(r" or ", cell)) - {""}
    return found


def write(table):
    rows = [["fault", *OPERATIONS]]
    rows += [[fault, *(" or ".join(sorted(table.get((operation, fault), ())))
                       for operation in OPERATIONS)] for fault in FAULTS]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join(["---"] * len(rows[0])) + " |")
    PAGE.write_text(HEAD + "\n".join(lines) + "\n")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_grid(harness, work, operation):
    wanted = [fault for fault in FAULTS if LONG or WRITE or fault not in SELDOM]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = dict(zip(wanted, pool.map(
            lambda fault: pair(operation, fault, work / re.sub(r"\W+", "-", fault)), wanted)))
    broken = {fault: came for fault, came in results.items() if came.startswith("BROKEN")}
    table = known()
    if WRITE:
        for fault, came in results.items():
            if fault not in broken:
                table.setdefault((operation, fault), set()).add(came)
        write(table)
    harness.failed |= bool(broken)
    assert not broken, "\n".join(f"{fault}: {came}" for fault, came in broken.items())
    other = {fault: (came, table.get((operation, fault))) for fault, came in results.items()
             if came not in table.get((operation, fault), ())}
    assert not other, other


def test_the_page_has_every_pair():
    assert set(known()) == {(operation, fault) for operation in OPERATIONS for fault in FAULTS}
    assert all(known().values())


def test_troubleshooting_names_a_test_for_each_row():
    text = (TOP / "docs" / "troubleshooting.md").read_text()
    rows = [row for row in text.splitlines() if row.startswith("| E")]
    assert len(rows) > 15
    assert all("`" in row.split("|")[-2] for row in rows)
