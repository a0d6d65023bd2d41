# SPDX-License-Identifier: MIT
"""A door in front of a server on loopback: shut, connections are refused and those that were open
are reset; open again, it is the same address. Between the two: what asks gets no answer."""
import contextlib
import select
import socket
import struct
import threading


class Gate:
    def __init__(self, port):
        self._to = port
        self._lock = threading.Lock()
        self._open = set()  # guarded by _lock: sockets of both sides
        self._muted = set()  # guarded by _lock: some of these
        self._threads = []
        self._listener = None
        self._placeholder = None
        self.port = 0
        self.open()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def open(self):
        self._listen()
        self._start(self._accept, self._listener, self._connect)

    def hold(self):
        """Connections are taken, and nothing is said on them: no TLS, no HTTP."""
        self.shut()
        self._listen()
        self._start(self._accept, self._listener, self._keep)

    def mute(self):
        """The connections that are there go on, and nothing passes them any more; new ones are well."""
        with self._lock:
            self._muted |= self._open

    def block(self):
        """Connections are neither taken nor refused, as where packets are dropped."""
        self.shut()
        self._listen(backlog=0)
        while self._takes_another():
            pass

    def _listen(self, backlog=None):
        self._give_port_back()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=backlog)
        self.port = self._listener.getsockname()[1]

    def _takes_another(self):
        """A queue of connections that nobody accepts is soon full: then no SYN is answered."""
        end = socket.socket()
        end.setblocking(False)
        end.connect_ex(self._listener.getsockname())
        self._keep(end)
        return bool(select.select([], [end], [], 0.2)[1])  # on loopback it is at once, or never

    def shut(self):
        """What was accepted before ends by RST; what comes after is refused."""
        listener, self._listener = self._listener, None
        if not listener:
            return
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        self._keep_port()
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _keep_port(self):
        """Or somebody else's connection may be given it.  Bound, it refuses."""
        self._placeholder = socket.socket()
        self._placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._placeholder.bind(("127.0.0.1", self.port))

    def _give_port_back(self):
        if self._placeholder:
            self._placeholder.close()
            self._placeholder = None

    def close(self):
        self.shut()
        self._give_port_back()
        for thread in self._threads:
            thread.join()

    def _start(self, run, *arguments):
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        thread.start()
        with self._lock:
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]

    def _accept(self, listener, use):
        with contextlib.suppress(OSError):
            while True:
                use(listener.accept()[0])

    def _keep(self, *ends):
        with self._lock:
            self._open.update(ends)

    def _connect(self, near):
        far = socket.create_connection(("127.0.0.1", self._to))
        self._keep(near, far)
        self._start(self._serve, near, far)

    def _serve(self, near, far):
        """A connection, until both sides have ended it."""
        answers = threading.Thread(target=self._copy, args=(far, near), daemon=True)
        answers.start()
        self._copy(near, far)
        answers.join()
        with self._lock:
            self._open -= {near, far}
            self._muted -= {near, far}
        near.close()
        far.close()

    def _copy(self, source, to):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    muted = source in self._muted
                if not muted:
                    to.sendall(data)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)
