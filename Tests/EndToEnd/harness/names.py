"""A small DNS server for tests of SRV records: it knows what it is told, and every host is 127.0.0.1."""

import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading

A, SRV = 1, 33


def _name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.strip(".").split(".") if label) + b"\0"


class NameServer:
    """`records`: service name → [(priority, weight, port, host)]. Needs root: name servers listen on port 53, and who asks it must
    have a resolv.conf of its own (`command`)."""

    def __init__(self, records, address="127.53.53.53"):
        self.records = {name.strip(".").lower(): list(found) for name, found in records.items()}
        self.asked = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        self._file = tempfile.NamedTemporaryFile("w", suffix=".conf")
        self._file.write(f"nameserver {address}\noptions timeout:1 attempts:1\n")
        self._file.flush()
        os.chmod(self._file.name, 0o644)
        threading.Thread(target=self._serve, daemon=True).start()

    @staticmethod
    def works():
        """Whether this process may have a name server and give others another resolv.conf."""
        if os.geteuid() != 0 or not shutil.which("unshare"):
            return False
        return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0

    def command(self, arguments):
        """The command with this name server as its only one."""
        script = f'mount --bind {self._file.name} /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", *arguments]

    def _serve(self):
        while True:
            try:
                query, peer = self._socket.recvfrom(4096)
            except OSError:
                return
            self._socket.sendto(self._answer(query), peer)

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        name, (kind,) = ".".join(labels), struct.unpack("!H", query[at + 1:at + 3])
        question = query[12:at + 5]
        answers = []
        if kind == SRV:
            self.asked.append(name)
            answers = [struct.pack("!HHH", priority, weight, port) + _name(host) for priority, weight, port, host in self.records.get(name, [])]
        elif kind == A and not name.startswith("_"):
            answers = [bytes([127, 0, 0, 1])]
        known = answers or (not name.startswith("_"))
        head = query[:2] + struct.pack("!HHHHH", 0x8180 if known else 0x8183, 1, len(answers), 0, 0)
        return head + question + b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 1, len(data)) + data for data in answers)

    def close(self):
        self._socket.close()
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
