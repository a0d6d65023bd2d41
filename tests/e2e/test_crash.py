# SPDX-License-Identifier: MIT
"""The mount is killed while it saves: the service has the old record or the new one, and the next
mount takes the dead one's place."""
import json
import os
import random
import signal
import subprocess
import threading

import pytest
from mount import mounted_at
from saving import ID, editable, is_shown

ROUNDS = 8
SEED = 20240229

# Saves without end; each writes the same number to two fields.
WRITER = r"""
import os, re, sys
path, number = sys.argv[1], int(sys.argv[2])
try:
    while True:
        number += 1
        text = open(path).read()
        text = re.sub(r'"note": "\d+"', f'"note": "{number}"', text)
        text = re.sub(r'"twin": "\d+"', f'"twin": "{number}"', text)
        with open(path, "w") as file:
            file.write(text)
        print(number, flush=True)
except OSError:
    pass
"""


@pytest.mark.any_requests("how far a save gets before the kill is a matter of chance")
def test_killed_while_saving(account, new_mount):
    api = account(latency_ms=4)
    api.add_stack(editable(note="0", twin="0"))
    chance = random.Random(SEED)
    mnt = new_mount(api)
    number = 0
    for _ in range(ROUNDS):
        mnt.start()  # on the place of the one that was killed
        is_shown(api, mnt)
        writer = subprocess.Popen(["/usr/bin/python3", "-c", WRITER,
                                   str(mnt / "one" / "config.json"), str(number)],
                                  stdout=subprocess.PIPE, text=True)
        assert writer.stdout.readline()
        kill = threading.Timer(chance.uniform(0, 0.05), os.kill, (mnt.pid, signal.SIGKILL))
        kill.start()
        said = writer.stdout.read().split()
        writer.wait()
        kill.join()
        mnt.kill()
        record = api.stack(ID)
        assert record["note"] == record["twin"], "never a mixture"
        saved = max([number + 1, *map(int, said)])
        assert int(record["note"]) in (saved, saved + 1), "what was said to be saved is"
        number = int(record["note"])
        assert mounted_at(mnt.path), "a crash looks like an error, not like an empty directory"
        with pytest.raises(OSError):
            os.listdir(mnt.path)
    mnt.start()
    assert json.loads(mnt.config("one"))["note"] == str(number)
