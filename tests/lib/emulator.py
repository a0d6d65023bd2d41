# SPDX-License-Identifier: MIT
"""Starts build/stacks-emulator and talks to its control path (docs/emulator.md).

    with Emulator(binary, stacks=5, log_dir=tmp_path) as emu:
        emu.fault(path="/v1/stacks", kind="status", status=503, times=1)
        ...
        emu.wait(path="/v1/stacks", count=2, answered=True)
        assert not emu.violations()

Standard library only.  Nothing here sleeps: readiness is the printed URL, and events are waited for
with wait().  All methods may be called from any thread.
"""
import base64
import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
from pathlib import Path

DEFAULT_TOKEN = "emulator-token"


class EmulatorError(Exception):
    """The control path said no: status and the answer's text."""

    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _stop(process, timeout=20):
    """Ends a process that we started; its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    return process.returncode


class Emulator:
    """One emulator process.

    binary: path of stacks-emulator.  account: a list of stacks, or the path of a JSON file.
    unix: path of a socket to listen on instead of a loopback port.  log_dir: where its stderr (a
    sanitizer's report, say) is kept; stop() raises if the process did not end cleanly.
    """

    def __init__(self, binary, *, stacks=None, seed=None, account=None, page_size=None, etag=None,
                 token=DEFAULT_TOKEN, unix=None, latency_ms=None, paging=None, rate=None,
                 burst=None, log_dir=None, args=()):
        self.token = token
        self.unix = str(unix) if unix else None
        command = [str(binary), f"--token={token}"]
        values = {"stacks": stacks, "seed": seed, "page-size": page_size, "etag": etag,
                  "latency-ms": latency_ms, "paging": paging, "rate": rate, "burst": burst,
                  "listen": f"unix:{unix}" if unix else None,
                  "account": account if isinstance(account, (str, os.PathLike)) else None}
        command += [f"--{name}={value}" for name, value in values.items() if value is not None]
        self._stderr_path = Path(log_dir) / "emulator.stderr" if log_dir else None
        stderr = open(self._stderr_path, "ab") if self._stderr_path else None
        try:
            self.process = subprocess.Popen(command + list(args), stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=stderr)
        finally:
            if stderr:
                stderr.close()
        self.address = self._read_address()
        #: What a client is given; over a unix socket the host is only a name.
        self.url = "http://localhost" if unix else self.address
        if isinstance(account, (list, tuple)):
            self.set_account(account)

    def _read_address(self, timeout=60):
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        line = self.process.stdout.readline().decode().strip() if ready else ""
        if not line:
            code = _stop(self.process)
            raise RuntimeError(f"stacks-emulator did not start (exit {code}){self._stderr()}")
        return line

    def _stderr(self):
        return ": " + self._stderr_path.read_text() if self._stderr_path else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    @property
    def port(self):
        return urllib.parse.urlsplit(self.address).port

    def stop(self):
        """Ends the process.  Safe to call twice."""
        code = _stop(self.process)
        self.process.stdout.close()
        if code != 0:
            raise RuntimeError(f"stacks-emulator ended with {code}{self._stderr()}")

    # --- plain HTTP ---

    def connect(self, timeout=30):
        """A fresh http.client connection to the emulator."""
        if self.unix:
            return _UnixConnection(self.unix, timeout)
        return http.client.HTTPConnection("127.0.0.1" if "[" not in self.address else "::1",
                                          self.port, timeout=timeout)

    def request(self, method, path, body=None, *, headers=None, token=True, timeout=30):
        """One API request as a client would send it: (status, headers, body bytes).

        body: bytes and str go as they are, anything else as JSON.  token: False sends none, a
        string another one.
        """
        sent = dict(headers or {})
        if token:
            sent.setdefault("Authorization", f"Bearer {self.token if token is True else token}")
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            if not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            if isinstance(body, str):
                body = body.encode()
        connection = self.connect(timeout)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def _control(self, method, path, body=None, timeout=60, accept=()):
        status, _, text = self.request(method, "/_emulator/" + path, body, token=False,
                                       timeout=timeout)
        if status >= 300 and status not in accept:
            raise EmulatorError(status, text.decode(errors="replace"))
        return (json.loads(text.decode(errors="surrogateescape"), strict=False)
                if text else None)

    @staticmethod
    def _stack_path(stack_id, rest=""):
        return "stacks/" + urllib.parse.quote(stack_id, safe="") + rest

    # --- the request log ---

    def health(self):
        return self._control("GET", "health")

    def seq(self):
        """The number of the last request: give it to wait() or log() as `since`."""
        return self.health()["seq"]

    def log(self, since=None):
        """All requests in order of arrival (those after number `since`)."""
        return self._control("GET", "log" if since is None else f"log?since={since}")

    def clear_log(self):
        self._control("DELETE", "log")

    def requests(self, method=None, path=None, since=None):
        """The log's entries of one method and exact path."""
        return [e for e in self.log(since)
                if method in (None, e["method"]) and path in (None, e["path"])]

    def count(self, method=None, path=None, since=None):
        return len(self.requests(method, path, since))

    def violations(self, since=None):
        """What no careful client sends, as "METHOD PATH: note": strange paths, methods and query
        parameters, masks, read-only fields, a wrong Content-Type, a body on GET."""
        return [f'{e["method"]} {e["path"]}: {note}' for e in self.log(since)
                for note in e["notes"] if not note.startswith("info: ")]

    def wait(self, method=None, path=None, count=1, *, since=None, answered=False, timeout=10):
        """Until that many requests have arrived (or been answered); their number.

        path: exact or a glob, whose * matches / too.  TimeoutError says how many there were.
        """
        body = {"count": count, "timeout_ms": int(timeout * 1000), "answered": answered}
        for name, value in (("method", method), ("path", path), ("since", since)):
            if value is not None:
                body[name] = value
        answer = self._control("POST", "wait", body, timeout=timeout + 30, accept=(408,))
        if answer["count"] < count:
            raise TimeoutError(f'{answer["count"]} of {count} requests {method or ""} '
                               f'{path or ""} within {timeout} s')
        return answer["count"]

    # --- faults ---

    def fault(self, **spec):
        """Adds a fault (docs/emulator.md); its number.  body may be bytes."""
        if isinstance(spec.get("body"), (bytes, bytearray)):
            spec["body_base64"] = base64.b64encode(spec.pop("body")).decode()
        return self._control("POST", "faults", spec)["id"]

    def faults(self):
        return self._control("GET", "faults")

    def clear_faults(self, fault_id=None):
        """Removes one or all; what hangs on them is closed."""
        self._control("DELETE", "faults" if fault_id is None else f"faults/{fault_id}")

    # --- the account ---

    def account(self):
        """Every stack with its secrets, `dependencies` and `deleted`, by _id."""
        return self._control("GET", "account")

    def set_account(self, stacks):
        """Replaces everything: a list, or raw JSON."""
        self._control("PUT", "account", stacks)

    def stack(self, stack_id):
        return self._control("GET", self._stack_path(stack_id))

    def by_name(self, name):
        """The one living stack of that name."""
        found = [s for s in self.account() if s["name"] == name and not s["deleted"]]
        if len(found) != 1:
            raise LookupError(f"{len(found)} stacks are named {name!r}")
        return found[0]

    def add_stack(self, stack):
        """Adds a record as it is, unchecked: a dict, or raw JSON text or bytes."""
        return self._control("POST", "stacks", stack)

    def patch_stack(self, stack_id, changes):
        """A colleague's change: a merge patch (dict or raw JSON), unchecked."""
        return self._control("PUT", self._stack_path(stack_id), changes)

    def delete_stack(self, stack_id):
        self._control("DELETE", self._stack_path(stack_id))

    def restore_stack(self, stack_id):
        return self._control("POST", self._stack_path(stack_id, "/restore"))

    def rotate(self, stack_id):
        """The new token."""
        return self._control("POST", self._stack_path(stack_id, "/rotate"))["systemToken"]

    def set_dependencies(self, stack_id, dependencies):
        self._control("PUT", self._stack_path(stack_id, "/dependencies"), dependencies)

    def config(self, **values):
        """page_size, etag, token, latency_ms, gzip, rate, burst, paging."""
        self._control("PUT", "config", values)
        self.token = values.get("token", self.token)


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def _make_certificates(directory, host):
    """A CA and a certificate of 127.0.0.1, localhost and a host: (CA, key, certificate)."""
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    key, request, cert = (directory / f"server.{end}" for end in ("key", "csr", "pem"))
    extensions = directory / "server.ext"
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    extensions.write_text(f"subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:{host}\n"
                          "basicConstraints=CA:FALSE\n")
    _openssl("req", "-x509", *ec, "-keyout", str(ca_key), "-out", str(ca), "-days", "2",
             "-subj", "/CN=stacksfs test CA", "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl("req", *ec, "-keyout", str(key), "-out", str(request), "-subj", "/CN=127.0.0.1")
    _openssl("x509", "-req", "-in", str(request), "-CA", str(ca), "-CAkey", str(ca_key),
             "-CAcreateserial", "-out", str(cert), "-days", "2", "-extfile", str(extensions))
    return ca, key, cert


class TlsFront:
    """nghttpx before an emulator: TLS with a CA of its own, HTTP/2 and HTTP/1.1."""

    def __init__(self, emulator, directory, *, host="localhost", args=()):
        program = self.program()
        if not program:
            raise FileNotFoundError("nghttpx (Debian: nghttp2-proxy)")
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        ca, key, cert = _make_certificates(directory, host)
        #: What curl calls --cacert.
        self.cacert = str(ca)
        self.port = _free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        backend = f"unix:{emulator.unix}" if emulator.unix else f"127.0.0.1,{emulator.port}"
        log = directory / "nghttpx.log"
        command = [program, f"--frontend=127.0.0.1,{self.port}", f"--backend={backend}",
                   "--conf=/dev/null", "--workers=1", f"--errorlog-file={log}",
                   f"--pid-file={directory / 'nghttpx.pid'}", *args, str(key), str(cert)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait_until_open(log)

    @staticmethod
    def program():
        """Where nghttpx is, or None."""
        return shutil.which("nghttpx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

    def _wait_until_open(self, log, timeout=30):
        deadline = time.monotonic() + timeout
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    _stop(self.process)
                    said = log.read_text() if log.exists() else ""
                    raise RuntimeError(f"nghttpx did not start: {said}") from None
                select.select([], [], [], 0.01)  # until it listens; there is no event to wait for

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends nghttpx.  Safe to call twice."""
        _stop(self.process)
