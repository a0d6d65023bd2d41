# SPDX-License-Identifier: MIT
"""The recipes: each block of docs/recipes.md and docs/restore.md, run as it is printed.

HOME is a folder of the test's, and the account an emulated one; nothing else differs.
"""
import contextlib
import json
import os
import pty
import re
import shutil

import pytest
from account import stack
from conftest import BUILD, TOP, fuse_is_missing
from mount import SLOWER, output_of, run, wait_for_exit
from namespace import MANAGER, Namespace

pytestmark = [
    pytest.mark.skipif(fuse_is_missing(), reason="no /dev/fuse here"),
    pytest.mark.any_requests("what comes of a recipe is what counts"),
]
SECRET = "the-secret-of-the-lambda-stack"


def recipes(page, heading):
    """The shell blocks below a heading, as they are printed."""
    text = (TOP / "docs" / f"{page}.md").read_text()
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.M | re.S).group(1)
    return re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)


def lambda_stack(name, number):
    return stack(name, number, server=None, type="lambda",
                 **{"lambda": {"accessKeyId": "AKIA0000", "secretAccessKey": SECRET,
                               "awsRegion": "us-east-1", "functionName": "thumbs"}})


@pytest.fixture
def api(account):
    api = account()
    for number, name in enumerate(("billing", "a b", "orders"), 1):
        api.add_stack(stack(name, number, server={
            "hostURI": f"https://old.example.com/{number}", "systemToken": f"{number:030}"}))
    api.add_stack(lambda_stack("thumbnails", 4))
    return api


@pytest.fixture
def home(work):
    home = work / "home"
    home.mkdir()
    return home


@pytest.fixture
def production(api, home, mount):
    """The account's mount, where the unit makes it, and the token where the unit reads it."""
    token = home / ".config" / "stacksfs" / "production.token"
    token.parent.mkdir(parents=True)
    token.touch(mode=0o600)
    token.write_text(api.token + "\n")
    (home / "stacks").mkdir()
    return mount(api, mountpoint=home / "stacks" / "production")


@pytest.fixture
def bash(api, production):
    """Runs blocks in one shell: what they print.  None may complain."""
    env = dict(production.env, CELIGO_BASE_URL=api.url,
               PATH=f"{BUILD}:{production.env['PATH']}", GIT_CONFIG_NOSYSTEM="1")

    def shell(*blocks, complaint=None, **kwargs):
        done = run("\n".join(blocks), env=env, cwd=production.work / "home", **kwargs)
        if complaint:
            assert re.search(complaint, done.stderr), done
        else:
            assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    return shell


def record(api, name):
    return next(r for r in api.records() if r.name == name)


def bare(api, name):
    return {key: value for key, value in record(api, name).json.items()
            if key not in ("_id", "createdAt", "lastModified")}


def lines(*command):
    return output_of([str(part) for part in command]).splitlines()


# ---- recipes ----

def backup_lines():
    """The lines of the backup for cron, and those for a mount's own work tree."""
    _, by_hand, exclude = recipes("recipes", "Back up the configurations to git, every night")
    return by_hand, exclude


def test_backup_by_cron(api, production, bash, home):
    by_hand, _ = backup_lines()
    (production / "billing" / ".config.json.swp").write_text("swap")
    (production / "billing" / "config.json.refused").write_text("refused")
    bash(by_hand)
    saved = home / "stacks-backup" / "production"
    listed = [f"{name}/config.json" for name in ("a b", "billing", "orders", "thumbnails")]
    assert lines("git", "-C", saved, "ls-files") == [f"{name}" for name in listed]
    assert (saved / "billing" / "config.json").read_bytes() == production.config("billing")
    assert saved.stat().st_mode & 0o077 == 0
    assert SECRET not in output_of(["git", "-C", saved, "grep", "-h", "", "HEAD"])

    bash(by_hand)  # nothing has changed
    assert len(lines("git", "-C", saved, "log", "--format=%s")) == 1

    api.patch_stack(record(api, "billing").id, {"server": {"hostURI": "https://b.example.com"}})
    api.delete_stack(record(api, "orders").id)
    bash(by_hand)  # a change made elsewhere: the refresh finds it
    assert lines("git", "-C", saved, "diff", "--name-status", "HEAD~1") == [
        "M\tbilling/config.json", "D\torders/config.json"]


def test_an_outage_is_no_empty_backup(api, production, bash, home):
    by_hand, _ = backup_lines()
    bash(by_hand)
    saved = home / "stacks-backup" / "production"
    api.fault(kind="status", status=401)
    bash(by_hand, complaint="not refreshed")
    api.clear_faults()
    assert production.stop() == []
    bash(by_hand, complaint="stacks/production: ")  # an empty folder now
    assert (saved / "billing" / "config.json").exists()
    assert len(lines("git", "-C", saved, "log", "--format=%s")) == 1


def test_backup_in_a_mounts_own_work_tree(production, bash, home):
    _, exclude = backup_lines()
    (production / "billing" / ".config.json.swp").write_text("swap")
    bash(exclude)
    listed = lines("git", "--git-dir", home / "stacks.git", "ls-files")
    assert [line for line in listed if not line.endswith("/config.json")] == []
    assert len(listed) == 4


def test_the_backups_units(harness):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    namespace = Namespace(BUILD, harness.work)
    namespace.env["XDG_RUNTIME_DIR"] = namespace.work
    for kind in ("service", "timer"):
        done = namespace.run("systemd-analyze verify --user --man=no "
                             f"/usr/local/lib/systemd/user/stacksfs-backup@.{kind}")
        assert (done.returncode, done.stderr) == (0, "")


def test_backup_by_a_timer(api, harness, home):
    """By a real systemd, with the mount that it starts for it."""
    by_timer, *_ = recipes("recipes", "Back up the configurations to git, every night")
    if not os.path.exists(MANAGER):
        pytest.skip("no systemd here")
    namespace = Namespace(BUILD, harness.work)
    namespace.configure_unit("production", api.token, f"SOURCE={api.url}\n")
    done = namespace.run_by_systemd("export GIT_PAGER=cat", by_timer + """
        systemctl --user show -P ActiveState stacksfs-backup@production.timer
        systemctl --user start stacksfs-backup@production.service
        git -C ~/stacks-backup/production rev-list --count HEAD
        systemctl --user stop stacksfs-backup@production.timer stacksfs@production.service
        """, timeout=50)
    log = home / "manager.log"
    assert done.returncode == 0, (done.stdout, done.stderr, log.exists() and log.read_text())
    assert "billing/config.json" in done.stdout and "4 files changed" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["active", "1"]


def test_tokens_encrypted(api, production, bash, home):
    make, encrypt, decrypt = recipes("recipes", "Back up the tokens, encrypted")
    tokens = {name: api.system_token(record(api, name).id) for name in ("billing", "a b", "orders")}
    on_a_terminal(make, production, passphrase="correct horse", times=2)
    bash(encrypt)
    kept = (home / "stacks-tokens.cms").read_bytes()
    assert not [name for name, token in tokens.items() if token.strip() in kept]
    assert (home / "stacks-tokens.cms").stat().st_mode & 0o077 == 0
    assert (home / "stacks-key.pem").stat().st_mode & 0o077 == 0
    shown = on_a_terminal(decrypt, production, passphrase="correct horse", times=1)
    assert shown.split()[-1].encode() == tokens["billing"].strip()


def on_a_terminal(block, mnt, passphrase, times):
    """Run a block where openssl can ask for a passphrase; what is shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(mnt.work / "home")
        os.execvpe("bash", ["bash", "-c", block], mnt.env)
    shown, answered = b"", 0
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while True:
            shown += os.read(terminal, 4096)
            if len(re.findall(rb"(?i)pass ?phrase[^\n]*:", shown)) > answered:
                answered += 1
                os.write(terminal, passphrase.encode() + b"\n")
    os.close(terminal)
    assert (wait_for_exit(pid, 20 * SLOWER), answered) == (0, times), shown
    return shown.decode()


def test_mass_edit(api, production, bash, home):
    dry, real = recipes("recipes", "Change many stacks, with a dry run first")
    before = [record.raw for record in api.records()]
    names = ["a b", "billing", "orders"]
    shown = [json.loads(line) for line in bash(dry).splitlines()]
    assert [path for path, _ in shown] == [f"/{name}/config.json" for name in names]
    assert all("https://new.example.com/" in json.dumps(would) for _, would in shown), shown
    assert [record.raw for record in api.records()] == before
    assert "1" not in bash(dry, real)[-2:]
    for number, name in zip((2, 1, 3), names):
        assert record(api, name).json["server"]["hostURI"] == f"https://new.example.com/{number}"
    assert len(api.sent("put")) == 3


def test_rotate_all(api, bash, home):
    rotate, = recipes("recipes", "Rotate all tokens")
    for number in range(10, 25):  # more than a mount rotates in a minute without being told
        api.add_stack(stack(f"more-{number}", number))
    servers = [r for r in api.records() if r.type == "server"]
    before = {r.name: api.system_token(r.id) for r in servers}
    shown = bash(rotate)
    after = {r.name: api.system_token(r.id) for r in servers}
    assert len(servers) == 18 and not set(before.values()) & set(after.values())
    assert all(token.decode() in shown for token in after.values())
    assert list((home / "stacks-rotate").iterdir()) == []


def test_compare_two_accounts(api, account, mount, bash, home):
    fields, compare = recipes("recipes", "Compare two accounts")
    other = account()
    for number, stored in enumerate(reversed(api.account()), 100):
        for member in ("_id", "createdAt", "lastModified", "dependencies", "deleted"):
            stored.pop(member, None)
        other.add_stack(stored)
    mnt = mount(other, mountpoint=home / "stacks" / "sandbox")
    assert bash(fields, compare) == ""
    other.patch_stack(record(other, "orders").id, {"server": {"hostURI": "https://sandbox.example.com"}})
    mnt.refresh()
    output = bash(fields, compare + "true\n")
    assert re.findall("^[<>] (.*)$", output, re.M) == [
        'orders server.hostURI = "https://old.example.com/3"',
        'orders server.hostURI = "https://sandbox.example.com"']


# ---- restoring ----

@pytest.fixture
def backup(bash):
    """A backup of the account as it is now; more of them when it is called again."""
    by_hand, _ = backup_lines()

    def make():
        bash(by_hand)

    make()
    return make


def move(api, name, host):
    api.patch_stack(record(api, name).id, {"server": {"hostURI": f"https://{host}.example.com"}})


def host(api, name):
    return record(api, name).json["server"]["hostURI"]


def test_restored_from_the_recycle_bin(api, production, bash):
    block, = recipes("restore", "A deleted stack: the recycle bin first")
    old = record(api, "billing")
    api.delete_stack(old.id)
    production.refresh()
    assert "billing" not in production.names()
    api.restore_stack(old.id)  # what somebody does in the user interface
    assert bash(block).encode() == old.config


def test_a_change_is_undone(api, production, bash):
    undo, _, _ = recipes("restore", "A stack that is there and wrong")
    bash("sed -i s/old.example/wrong.example/ ~/stacks/production/billing/config.json")
    assert "wrong" in host(api, "billing")
    bash(undo)
    assert host(api, "billing") == "https://old.example.com/1"


def test_restored_from_the_backup(api, production, backup, bash):
    _, newest, older = recipes("restore", "A stack that is there and wrong")
    move(api, "billing", "second")
    backup()
    move(api, "billing", "wrong")
    bash(newest)
    assert host(api, "billing") == "https://second.example.com"
    bash(older)
    assert host(api, "billing") == "https://old.example.com/1"
    assert production.names("billing") == ["config.json", "dependencies", "systemToken"]


def test_a_deleted_stack_from_the_backup(api, production, backup, bash):
    copy, _, _ = recipes("restore", "A deleted stack that the recycle bin does not have")
    old, essence = record(api, "billing"), bare(api, "billing")
    api.delete_stack(old.id)
    production.refresh()
    token = bash(copy)
    assert bare(api, "billing") == essence
    new = record(api, "billing")
    assert new.id != old.id
    assert token.encode() == api.system_token(new.id)


def test_a_deleted_stack_from_history(api, production, bash):
    _, history, _ = recipes("restore", "A deleted stack that the recycle bin does not have")
    old, essence = record(api, "billing"), bare(api, "billing")
    bash("rm -r ~/stacks/production/billing")
    assert "billing" not in production.names()
    bash(history)
    assert bare(api, "billing") == essence
    assert record(api, "billing").id != old.id


def test_a_deleted_lambda_stack(api, production, backup, bash, home):
    *_, with_secret = recipes("restore", "A deleted stack that the recycle bin does not have")
    essence = bare(api, "thumbnails")
    api.delete_stack(record(api, "thumbnails").id)
    production.refresh()
    (home / ".lambda-secret").write_text("another-secret-of-it\n")
    bash(with_secret)
    assert bare(api, "thumbnails") == essence
    assert api.by_name("thumbnails")["lambda"]["secretAccessKey"] == "another-secret-of-it"


def test_a_whole_account(api, production, backup, bash):
    missing, overwrite, compare = recipes("restore", "A whole account")
    fields, _ = recipes("recipes", "Compare two accounts")
    wanted = {r.name: bare(api, r.name) for r in api.records()}
    for name in ("billing", "a b"):
        api.delete_stack(record(api, name).id)
    move(api, "orders", "wrong")
    production.refresh()
    bash(missing)
    assert sorted(r.name for r in api.records()) == sorted(wanted)
    assert host(api, "orders") == "https://wrong.example.com"
    api.delete_stack(record(api, "a b").id)
    production.refresh()
    bash(overwrite)
    assert {r.name: bare(api, r.name) for r in api.records()} == wanted
    assert api.by_name("thumbnails")["lambda"]["secretAccessKey"] == SECRET
    assert bash(fields, compare) == ""


def test_a_lambda_stack_of_a_whole_account(api, production, backup, bash, home):
    """It is named, and made with its secret afterwards."""
    missing, *_ = recipes("restore", "A whole account")
    *_, with_secret = recipes("restore", "A deleted stack that the recycle bin does not have")
    for each in api.records():
        api.delete_stack(each.id)
    production.refresh()
    bash(missing, complaint=r"thumbnails/config\.json.*Bad message")
    assert sorted(r.name for r in api.records()) == ["a b", "billing", "orders"]
    (home / ".lambda-secret").write_text(SECRET)
    bash(with_secret)
    assert api.by_name("thumbnails")["lambda"]["secretAccessKey"] == SECRET


# ---- all of them ----

def test_each_block_has_its_test():
    """Every section with a block in it is named by a test; the tests unpack all of its blocks."""
    own = (TOP / "tests" / "e2e" / "test_recipes.py").read_text()
    for page in ("recipes", "restore"):
        text = (TOP / "docs" / f"{page}.md").read_text()
        for heading in re.findall(r"^## (.*)$", text, re.M):
            if recipes(page, heading):
                assert f'recipes("{page}", "{heading}")' in own
