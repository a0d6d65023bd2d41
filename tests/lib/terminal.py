# SPDX-License-Identifier: MIT
"""An interactive program on a screen of its own: tmux, spoken to in its control mode.

The server is private to one program: its socket is in the test's folder, it reads no
configuration, and it ends with the program.  Nothing sleeps: tmux announces each output of the
program, and the program's end is its pidfd.
"""
import contextlib
import itertools
import os
import select
import signal
import subprocess
import time

from mount import SLOWER, wait_for_exit

COLUMNS, LINES = 120, 40
# tmux does not always know how a program ended.
WITH_STATUS = '"$@"; echo $? >"$0"'
numbers = itertools.count()


class TerminalError(AssertionError):
    """The program did not show what was waited for; the message has its last screen."""


class Terminal:
    def __init__(self, folder, command, cwd, env):
        """folder: where the server's socket is; command: a list; cwd: the program's."""
        self._output = b""
        # Relative to the folder: an absolute path may be too long for a socket.
        socket = f"tmux{next(numbers)}"
        self._socket = os.path.join(folder, socket)
        self._status = os.path.join(folder, socket + ".status")
        self._shown = ""
        env = dict(env, SHELL="/bin/sh", TERM="screen-256color")
        self._tmux = subprocess.Popen(
            ["tmux", "-S", socket, "-f", os.devnull, "-C",
             "set-option", "-s", "escape-time", "0", ";",
             "set-option", "-g", "status", "off", ";",
             "new-session", "-x", str(COLUMNS), "-y", str(LINES), "-c", str(cwd), "--",
             "sh", "-c", WITH_STATUS, self._status, *(str(part) for part in command)],
            cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        os.set_blocking(self._tmux.stdout.fileno(), False)
        self._await_session()
        self._server, self._shell = map(
            int, self._ask("display-message -p '#{pid} #{pane_pid}'").split())
        self._pidfd = os.pidfd_open(self._shell)
        self._ask(f"refresh-client -C {COLUMNS}x{LINES}")

    # ---- tmux ----

    def _await_session(self):
        """The start's own commands are answered before the session is there."""
        deadline = time.monotonic() + 10 * SLOWER
        while b"%session-changed" not in self._output:
            if not self._read(deadline - time.monotonic()):
                raise TerminalError("tmux does not start")
        self._output = self._output.partition(b"%session-changed")[2]

    def _read(self, timeout):
        """Wait for whatever tmux says next (or for the program's end); False when nothing came."""
        watched = [self._tmux.stdout]
        ready = select.select(watched, [], [], max(0, timeout))[0]
        if not ready:
            return False
        data = self._tmux.stdout.read()
        if data == b"":
            raise TerminalError(f"tmux ended: {self._output.decode(errors='replace')}")
        self._output += data or b""
        return True

    def _ask(self, line):
        """One command of tmux's; the text that it answers with."""
        self._tmux.stdin.write(line.encode() + b"\n")
        self._tmux.stdin.flush()
        deadline = time.monotonic() + 10 * SLOWER
        while True:
            answer = self._take_answer()
            if answer is not None:
                return answer
            if not self._read(deadline - time.monotonic()):
                raise TerminalError(f"tmux does not answer: {line}")

    def _take_answer(self):
        """The next %begin … %end block; what stands before it only says that output came."""
        lines = self._output.split(b"\n")
        begin = next((n for n, one in enumerate(lines) if one.startswith(b"%begin ")), None)
        if begin is None:
            return None
        tag = lines[begin][len(b"%begin "):]
        for n in range(begin + 1, len(lines) - 1):
            if lines[n] in (b"%end " + tag, b"%error " + tag):
                self._output = b"\n".join(lines[n + 1:])
                text = b"\n".join(lines[begin + 1:n]).decode("utf-8", "replace")
                if lines[n].startswith(b"%error"):
                    raise TerminalError(f"tmux: {text}")
                return text
        return None

    # ---- the program ----

    def type(self, keys):
        """Send keys as the bytes that a terminal sends for them."""
        raw = keys.encode() if isinstance(keys, str) else keys
        self._ask("send-keys -H " + " ".join(f"{byte:02x}" for byte in raw))

    def screen(self):
        """What is shown (or was last seen), without empty lines at the end."""
        with contextlib.suppress(TerminalError, BrokenPipeError):
            self._shown = self._ask("capture-pane -p").rstrip()
        return self._shown

    def wait(self, check, what="", within=20):
        """Until check(screen) is true; the screen, or TerminalError with the last one."""
        deadline = time.monotonic() + within * SLOWER
        while True:
            shown = self.screen()
            if check(shown):
                return shown
            left = deadline - time.monotonic()
            if (left <= 0 or not self._wait_for_news(left)) and not check(self.screen()):
                raise TerminalError(f"not shown: {what or check}\n{shown}")

    def _wait_for_news(self, timeout):
        """Until there is more output; False when none will come any more."""
        if b"%output" in self._output:
            self._output = b""
            return True
        if self.has_ended():
            return False
        watched = [self._tmux.stdout, self._pidfd]
        if self._tmux.stdout in select.select(watched, [], [], timeout)[0]:
            try:
                self._read(0)
            except TerminalError:  # the server has ended, as the program is about to
                self.wait_for_end(5)
                return False
        return True

    def has_ended(self):
        return bool(select.select([self._pidfd], [], [], 0)[0])

    def wait_for_end(self, within=20):
        """Until the program has ended; its exit status, or None when it goes on."""
        if not select.select([self._pidfd], [], [], within * SLOWER)[0]:
            return None
        with open(self._status, encoding="ascii") as status:
            return int(status.read())

    def kill(self):
        """What a crash of the program does."""
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        return self.wait_for_end()

    def pids(self):
        """The program's own process, unless it has ended."""
        try:
            with open(f"/proc/{self._shell}/task/{self._shell}/children", encoding="ascii") as pids:
                return [int(pid) for pid in pids.read().split()]
        except FileNotFoundError:
            return []

    def close(self):
        """End the program, if it goes on, and with it the server."""
        if not self.has_ended():
            self.kill()
        with contextlib.suppress(BrokenPipeError):
            self._tmux.stdin.close()
        # The server ends when what it says has been read.
        os.set_blocking(self._tmux.stdout.fileno(), True)
        self._tmux.stdout.read()
        self._tmux.stdout.close()
        self._tmux.wait(10)
        for pid in (self._server, self._shell):  # either may have become our child
            wait_for_exit(pid, 10)
        os.close(self._pidfd)
        for path in (self._socket, self._status):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
