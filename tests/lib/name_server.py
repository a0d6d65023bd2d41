# SPDX-License-Identifier: MIT
"""A name server on loopback, which answers or not as it is told (RFC 1035)."""
import contextlib
import socket
import struct
import threading

TYPE_A = 1
NO_ERROR, SERVFAIL, NXDOMAIN = 0, 2, 3
SILENT = None


class NameServer:
    """Knows one address, that of this machine, for every name."""

    def __init__(self, address="127.0.0.1", port=53):
        self.answer = NO_ERROR  # or SERVFAIL, NXDOMAIN, SILENT
        self.asked = []         # names, one for each query
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # ends the wait for a query
        self._socket.close()
        self._thread.join()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                query, sender = self._socket.recvfrom(512)
                if not query:
                    return
                name, question = self._question(query)
                code = self.answer
                self.asked.append(name)
                if code is not SILENT:
                    self._socket.sendto(self._reply(query[:2], question, code), sender)

    @staticmethod
    def _question(query):
        """The name, and the whole question, of a query of one."""
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        return ".".join(labels), query[12:at + 5]

    @staticmethod
    def _reply(number, question, code):
        address = b""
        if code == NO_ERROR and struct.unpack("!H", question[-4:-2])[0] == TYPE_A:
            address = b"\xc0\x0c" + struct.pack("!HHIH", TYPE_A, 1, 60, 4) + b"\x7f\0\0\x01"
        flags = 0x8180 | code  # an answer, to a question that asked for recursion, and got it
        return number + struct.pack("!HHHHH", flags, 1, bool(address), 0, 0) + question + address
