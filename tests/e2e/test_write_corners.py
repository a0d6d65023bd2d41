# SPDX-License-Identifier: MIT
"""What must not stop a mount, or lose a text, although it hardly ever happens."""
import shutil

import pytest
from mount import run
from saving import editable, is_shown, write


@pytest.fixture
def api(account):
    api = account()
    api.add_stack(editable())
    return api


def test_a_program_that_lies_on_the_mount(api, mount):
    """Who it is that writes is asked of the system, and not of the mount itself."""
    mnt = mount(api)
    new = mnt.config("one").replace(b"value0", b"value1")
    write(mnt, "one", new, "new")
    shutil.copy("/bin/dd", mnt / "one" / "dd")
    done = run([mnt / "one" / "dd", f"if={mnt / 'one' / 'new'}", f"of={mnt / 'one' / 'config.json'}",
                "status=none"])
    assert done.returncode == 0, done.stderr
    assert "value1" in is_shown(api, mnt).raw
    api.expect(list=1, record=1, put=1)
