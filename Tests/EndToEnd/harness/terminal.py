"""A program on a terminal: what it shows, and what is typed."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time


class Terminal:
    """Runs a command on a pseudo-terminal of its own. `shown` is everything that has come."""

    def __init__(self, command, *, env=None, rows=40, columns=160, cwd=None):
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", **(env or {})}
        # A session of its own with the terminal in charge of it, so that Ctrl-C is a signal.
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True, cwd=cwd,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.shown = ""

    @property
    def text(self):
        """Without escapes, and without what was gone back over."""
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07|\r|\x07", "", self.shown)
        while "\b" in text:
            text = re.sub(r"[^\b]\x08|^\x08", "", text)
        return text

    def type(self, text):
        os.write(self._master, text.encode())

    def _read(self, seconds):
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:
            return False
        self.shown += data.decode("utf-8", "replace")
        return bool(data)

    def wait_for(self, pattern, seconds=30, after=0):
        """Until what is shown (from character `after` of `text` on) matches; returns the match."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.text[after:])
            if match:
                return match
            if time.monotonic() > deadline:
                raise AssertionError(f"{pattern!r} was not shown in {seconds} s:\n{self.shown[-1500:]!r}")
            if not self._read(0.2):
                match = re.search(pattern, self.text[after:])
                if match:
                    return match
                raise AssertionError(f"the program ended without {pattern!r}:\n{self.shown[-1500:]!r}")

    def wait(self, seconds=30):
        """Its end; returns its status."""
        deadline = time.monotonic() + seconds
        while self._read(0.1):
            if time.monotonic() > deadline:
                raise AssertionError(f"the program goes on:\n{self.shown[-1500:]!r}")
        return self.process.wait(seconds)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
