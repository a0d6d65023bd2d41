# SPDX-License-Identifier: MIT
"""What goes wrong during a soak: one request in ten, and now and then the whole way."""
import threading

HTML = {"Content-Type": "text/html"}

#: Kinds that docs/faults.md has too; each takes an equal part.
FAULTS = {
    "500": dict(kind="status", status=500),
    "500, done": dict(kind="status", status=500, apply=True),
    "502 with HTML": dict(kind="status", status=502, body="<html>Bad Gateway</html>", headers=HTML),
    "503": dict(kind="status", status=503),
    "503, Retry-After: 1": dict(kind="status", status=503, headers={"Retry-After": "1"}),
    "429, Retry-After: 1": dict(kind="status", status=429, headers={"Retry-After": "1"}),
    "408": dict(kind="status", status=408),
    "401": dict(kind="status", status=401, body='{"message":"Bearer Authentication Failed"}'),
    "reset": dict(kind="reset"),
    "reset after the header": dict(kind="reset", at_byte=150),
    "answer lost, done": dict(kind="drop", apply=True),
    "body cut": dict(kind="truncate", at_byte=20),
    "garbage": dict(kind="garbage"),
    "slow": dict(kind="delay", delay_ms=700),
    "drip": dict(kind="drip", drip_ms=1),
    "hang": dict(kind="hang"),
}
#: Seconds, by chance.
BETWEEN_OUTAGES = (8, 25)
OUTAGE = (0.1, 3)
HANGS_RELEASED = 10


class Weather:
    """Makes the faults until it is ended.  gate: None, or what is shut now and then."""

    def __init__(self, account, share, chance, gate=None):
        self.account, self.chance, self.gate = account, chance, gate
        self.outages = 0
        self._ids = {}
        self._over = threading.Event()
        if share:
            # The later ones are asked only about what the earlier ones have let pass.
            one_in = round(len(FAULTS) / share - len(FAULTS) / 2)
            for name, fault in FAULTS.items():
                self._ids[account.fault(one_in=one_in, **fault)] = name
        self._hang = [number for number, name in self._ids.items() if name == "hang"]
        self._hang_spec = dict(FAULTS["hang"], one_in=one_in) if share else None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def name_of(self, fault):
        """What an entry of the request log calls NUMBER KIND."""
        return self._ids[int(fault.split()[0])]

    def _run(self):
        while not self._over.wait(self.chance.uniform(*BETWEEN_OUTAGES)):
            self._release_what_hangs()
            if self.gate and self._hang:
                self.outages += 1
                self.gate.shut()
                self._over.wait(self.chance.uniform(*OUTAGE))
                self.gate.open()

    def _release_what_hangs(self):
        for number in self._hang:
            self.account.clear_faults(number)
        if self._hang:
            self._hang = [self.account.fault(**self._hang_spec)]
            self._ids[self._hang[0]] = "hang"

    def end(self):
        self._over.set()
        self._thread.join()
        self.account.clear_faults()
