# SPDX-License-Identifier: MIT
"""An emulated account: what it holds, and what it was asked."""
import collections
import contextlib
import json
import re
import socket
import threading
import urllib.error
import urllib.request

from emulator import Emulator
from expected import Record, directory_names, layout, split_array

ENDPOINTS = [
    ("list", "GET", r"/v1/stacks"),
    ("record", "GET", r"/v1/stacks/[0-9a-f]{24}"),
    ("token", "GET", r"/v1/stacks/[0-9a-f]{24}/systemToken"),
    ("dependencies", "GET", r"/v1/stacks/[0-9a-f]{24}/dependencies"),
    ("post", "POST", r"/v1/stacks"),
    ("put", "PUT", r"/v1/stacks/[0-9a-f]{24}"),
    ("delete", "DELETE", r"/v1/stacks/[0-9a-f]{24}"),
    ("rotate", "DELETE", r"/v1/stacks/[0-9a-f]{24}/systemToken"),
]
LIST = "/v1/stacks"
RECORD = "/v1/stacks/*[0-9a-f]"
TOKEN = "/v1/stacks/*/systemToken"
DEPENDENCIES = "/v1/stacks/*/dependencies"


def endpoint(entry):
    for name, method, pattern in ENDPOINTS:
        if entry["method"] == method and re.fullmatch(pattern, entry["path"]):
            return name
    return "other"


class Account(Emulator):
    """An emulator that is also asked as the API is, to know what a mount must show.

    Its own questions are not counted by expect().
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._own = collections.Counter()

    # ---- what the API says ----

    def get(self, path):
        """(text, headers) of an answer; bytes that are not UTF-8 become surrogates."""
        if not path.startswith("http"):
            path = self.url + path
        request = urllib.request.Request(path, headers={"Authorization": "Bearer " + self.token})
        self._own[endpoint(dict(method="GET", path=path[len(self.url):].split("?")[0]))] += 1
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            return answer.read().decode("utf-8", "surrogateescape"), answer.headers

    def pages(self):
        """The whole list: its pages' texts, and the paths that they were asked by."""
        path = LIST
        while path:
            text, headers = self.get(path)
            yield path, text
            following = re.search(r'<([^>]*)>;\s*rel="?next"?', headers.get("Link") or "")
            path = following and re.sub(r"^https?://[^/]*", "", following.group(1))

    def records(self):
        return [Record(raw) for _, page in self.pages() if page for raw in split_array(page)]

    def directories(self):
        """{directory name: record} of the whole account."""
        return directory_names(self.records())

    def record(self, stack_id):
        return Record(self.get(f"{LIST}/{stack_id}")[0])

    def system_token(self, stack_id):
        """The bytes of systemToken."""
        token = json.loads(self.get(f"{LIST}/{stack_id}/systemToken")[0])["systemToken"]
        return token.encode() + b"\n"

    def dependencies(self, stack_id):
        """The bytes of dependencies."""
        text = self.get(f"{LIST}/{stack_id}/dependencies")[0]
        return layout(text).encode("utf-8", "surrogateescape")

    def file(self, record, name):
        """What a file of a stack's directory must hold."""
        if name == "config.json":
            return record.config
        return (self.system_token if name == "systemToken" else self.dependencies)(record.id)

    # ---- what it was asked ----

    def clear_log(self):
        super().clear_log()
        self._own.clear()

    def own(self, name):
        """How many of an endpoint's requests in the log were our own."""
        return self._own[name]

    def counts(self):
        """How often the mount has asked for what, since the log was cleared."""
        asked = collections.Counter(endpoint(entry) for entry in self.log())
        asked.subtract(self._own)
        return {name: count for name, count in asked.items() if count}

    def statuses(self, name):
        """The statuses that an endpoint has answered with, in order."""
        return [entry["status"] for entry in self.log() if endpoint(entry) == name]

    def sent(self, name):
        """The bodies that were sent to an endpoint, in order, as values."""
        return [json.loads(entry["body"]) for entry in self.log() if endpoint(entry) == name]

    def expect(self, **counts):
        """Just these requests and no others: list=3, token=1.

        A range where time decides: list=range(3, 7).
        """
        asked = self.counts()
        fits = all(asked.get(name, 0) in (count if isinstance(count, range) else [count])
                   for name, count in counts.items())
        assert fits and asked.keys() <= counts.keys(), \
            f"asked for {asked}, and not for {counts}:\n{self.describe_log()}"

    def describe_log(self, last=40):
        lines = [f"{e['seq']:5} {e['t_ms']:12.1f} {e['method']} {e['path']}"
                 f"{'?' + e['query'] if e['query'] else ''} {e['status']}"
                 f" {e.get('fault') or ''} {' '.join(e['notes'])}" for e in self.log()]
        return "\n".join(lines[-last:])

    def secrets(self):
        """Every secret that the account has: none may be seen where it does not belong."""
        found = [stack.get(type, {}).get(name) for stack in self.account()
                 for type, name in (("server", "systemToken"), ("lambda", "secretAccessKey"))
                 if isinstance(stack.get(type), dict)]
        return [self.token] + [secret for secret in found if isinstance(secret, str)]


def stack(name, number=1, **members):
    """A server stack's record.  number makes its _id: the order of age."""
    record = {"_id": stack_id(number), "name": name, "type": "server",
              "server": {"hostURI": "https://host.example.com", "systemToken": "t0ken" * 6},
              "createdAt": "2023-05-01T10:00:00.000Z", "lastModified": "2024-02-29T12:34:56.789Z"}
    record.update(members)
    return {key: value for key, value in record.items() if value is not None}


def named(api, *names, make=stack):
    """The account, with stacks of these names; the first is the oldest."""
    for number, name in enumerate(names, 1):
        api.add_stack(make(name, number))
    return api


def stack_id(number):
    return f"{number:08x}{0xabcdef:016x}"


class Stranger:
    """A host that nobody may talk to: it takes connections, and remembers that there were any."""

    def __init__(self):
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                connection.close()

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
