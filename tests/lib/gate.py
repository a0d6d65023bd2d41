# SPDX-License-Identifier: MIT
"""A door in front of a server on loopback: shut, connections are refused and those that were open
are reset; open again, it is the same address."""
import contextlib
import socket
import struct
import threading


class Gate:
    def __init__(self, port):
        self._to = port
        self._lock = threading.Lock()
        self._open = set()  # guarded by _lock: sockets of both sides
        self._threads = []
        self._listener = None
        self.port = 0
        self.open()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def open(self):
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept, self._listener)

    def shut(self):
        """What was accepted before ends by RST; what comes after is refused."""
        listener, self._listener = self._listener, None
        if not listener:
            return
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self):
        self.shut()
        for thread in self._threads:
            thread.join()

    def _start(self, run, *arguments):
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                with self._lock:
                    self._open |= {near, far}
                self._start(self._copy, near, far)
                self._start(self._copy, far, near)

    def _copy(self, source, to):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)
