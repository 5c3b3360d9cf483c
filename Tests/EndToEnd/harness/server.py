"""A server as a process: started with flags, waited for by its log, stopped, killed, started again."""

import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from . import peers

READY = "ready to serve client requests"
START_SECONDS = 60
STOP_SECONDS = 60
#: Below what the kernel hands out by itself (ip_local_port_range), so that no client sits on a chosen port.
PORTS = range(12000, 32000)

_guard = [shutil.which("setpriv"), "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
_given_ports = set()


def free_port():
    """A port on 127.0.0.1 that nobody listens on and that this process was not given before."""
    while True:
        port = random.choice(PORTS)
        if port in _given_ports:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given_ports.add(port)
        return port


class StartFailed(Exception):
    """The server ended, or was not ready in time."""


class Server:
    """One member. `with Server() as s:` starts it and, at the end, kills it and removes its files."""

    def __init__(self, *flags, binary=None, env=None, data_dir=None, name="default", work=None, wrapper=()):
        self.binary = binary or peers.server()
        self.flags = list(flags)
        self.extra_env = dict(env or {})
        self.name = name
        self.wrapper = list(wrapper)
        self._own_work = work is None
        self.work = pathlib.Path(work or tempfile.mkdtemp(prefix="martlet-e2e-"))
        self.data_dir = pathlib.Path(data_dir) if data_dir else self.work / "data"
        self.client_port, self.peer_port = free_port(), free_port()
        self.process = None
        self.lines = []
        self._reader = None
        self.starts = 0

    @property
    def address(self):
        return f"127.0.0.1:{self.client_port}"

    @property
    def url(self):
        return f"http://{self.address}"

    @property
    def peer_url(self):
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def pid(self):
        return self.process.pid

    @property
    def version(self):
        return peers.version(self.binary)

    def own_flags(self):
        return [
            "--name", self.name, "--data-dir", str(self.data_dir),
            "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
            "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
            "--initial-cluster", f"{self.name}={self.peer_url}",
        ]

    def environment(self):
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
        env.update(self.extra_env)
        return env

    def command(self):
        return _guard + self.wrapper + [self.binary] + self.own_flags() + self.flags

    def spawn(self):
        """Starts the process and the thread that reads its log; does not wait until it is ready."""
        assert self.process is None or self.process.poll() is not None, "already running"
        self.starts += 1
        self.lines = []
        self.process = subprocess.Popen(
            self.command(), env=self.environment(), cwd=self.work, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout, self.lines), daemon=True)
        self._reader.start()
        return self

    @staticmethod
    def _read(pipe, lines):
        with pipe:
            for line in pipe:
                lines.append(line.decode("utf-8", "replace").rstrip("\n"))

    def start(self):
        self.spawn()
        self.wait_for_line(READY, START_SECONDS)
        return self

    def wait_for_line(self, text, seconds=20, after=0):
        """Waits until a log line (from number `after` on) holds the text; returns its number."""
        deadline, index = time.monotonic() + seconds, after
        while True:
            while index < len(self.lines):
                if text in self.lines[index]:
                    return index
                index += 1
            if self.process.poll() is not None:
                self._reader.join(5)
                if any(text in line for line in self.lines[index:]):
                    continue
                raise StartFailed(f"the server ended ({self.process.returncode}) before it logged {text!r}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise StartFailed(f"the server did not log {text!r} in {seconds} s:\n{self.tail()}")
            time.sleep(0.01)

    def tail(self, count=30):
        return "\n".join(self.lines[-count:])

    def entries(self):
        """The log lines as objects; a line that is not JSON is an error."""
        return [json.loads(line) for line in list(self.lines) if line.strip()]

    def stop(self, sig=signal.SIGTERM):
        """Asks the server to stop; returns its exit status as a shell shows it (143 after SIGTERM)."""
        self.process.send_signal(sig)
        return self.wait()

    def wait(self, seconds=STOP_SECONDS):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            text = self.tail()
            self.kill()
            raise AssertionError(f"the server did not end in {seconds} s:\n{text}")
        self._reader.join(5)
        code = self.process.returncode
        return 128 - code if code < 0 else code

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            self._reader.join(5)

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        self.kill()
        if self._own_work:
            shutil.rmtree(self.work, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    # What /proc says about the running server.

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self):
        fields = pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def disk_bytes(self):
        return sum(f.stat().st_blocks * 512 for f in self.data_dir.rglob("*") if f.is_file())
