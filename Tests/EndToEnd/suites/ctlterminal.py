"""martletctl where a person sits: terminals, completion in real shells, colours, bars. Part of the suite `ctl`."""

import os
import pathlib
import re
import shutil
import tempfile
import unittest

from harness import peers
from harness.case import Case, run
from harness.client import Client
from harness.server import Server, free_port
from harness.terminal import Terminal

ESCAPE = "\x1b"


class OnTerminal(Case):
    @classmethod
    def setUpClass(cls):
        cls.ours = peers.martletctl()
        if not cls.ours:
            raise unittest.SkipTest("no martletctl beside the server")
        cls.server = Server()
        cls.server.start()
        cls.addClassCleanup(cls.server.close)
        cls.client = Client(cls.server.address)
        cls.addClassCleanup(cls.client.close)

    def terminal(self, *arguments, endpoints=None, env=None, **options):
        env = {"ETCDCTL_ENDPOINTS": endpoints or self.server.address, **(env or {})}
        terminal = Terminal([self.ours, *arguments], env=env, **options)
        self.addCleanup(terminal.close)
        return terminal

    # Shells

    def shell(self, name, command, *lines):
        if not shutil.which(name):
            self.skipTest(f"no {name} on this machine")
        # Where completion looks for the command's name.
        directory = pathlib.Path(self.enterContext(_directory()))
        (directory / "martletctl").symlink_to(os.path.abspath(self.ours))
        env = {"PATH": f"{directory}:{os.environ['PATH']}", "PS1": "$ ", "HOME": str(directory), "ETCDCTL_ENDPOINTS": self.server.address}
        shell = Terminal(command, env=env, cwd=str(directory))
        self.addCleanup(shell.close)
        for line in lines:
            shell.type(line + "\n")
        shell.type("echo rea''dy\n")
        shell.wait_for(r"(?m)^ready")
        return shell

    def check_shell(self, shell):
        """What <TAB> makes of a line."""
        for typed, wanted in (("mem\tpro\t", "martletctl member promote"), ("get --keys-\t", "martletctl get --keys-only"),
                              ("get -w js\t", "martletctl get -w json"), ("get --write-out ta\t", "martletctl get --write-out table"),
                              ("completion z\t", "martletctl completion zsh"), ("top --so\t", "martletctl top --sort")):
            before = len(shell.text)
            shell.type("martletctl " + typed)
            shell.wait_for(_loosely(wanted), after=before)
            shell.type("\x15")

    def test_bash(self):
        self.check_shell(self.shell("bash", ["bash", "--norc", "--noprofile", "-i"], "bind 'set enable-bracketed-paste off'",
                                    "source <(martletctl completion bash)"))

    def test_zsh(self):
        self.check_shell(self.shell("zsh", ["zsh", "-f", "-i"], "PS1='$ '", "autoload -U compinit; compinit -u -D",
                                    "source <(martletctl completion zsh)"))

    def test_fish(self):
        """fish says itself what it would propose."""
        if not shutil.which("fish"):
            self.skipTest("no fish on this machine")
        directory = self.enterContext(_directory())
        os.symlink(os.path.abspath(self.ours), f"{directory}/martletctl")
        env = {"PATH": f"{directory}:{os.environ['PATH']}", "HOME": directory}
        def complete(line):
            script = f"martletctl completion fish | source; complete -C {line!r}"
            done = run(["fish", "--no-config", "-c", script], env=env, check=True)
            return [row.split("\t")[0] for row in done.stdout.splitlines()]
        self.assertEqual(complete("martletctl mem"), ["member"])
        self.assertEqual(complete("martletctl member pro"), ["promote"])
        self.assertEqual(sorted(complete("martletctl lease ")), ["grant", "keep-alive", "list", "revoke", "timetolive"])
        self.assertEqual(complete("martletctl get --keys-"), ["--keys-only"])
        self.assertEqual(complete("martletctl get --write-out js"), ["json"])
        self.assertIn("--endpoints", complete("martletctl get --endp"))
        self.assertNotIn("--keys-only", complete("martletctl put --keys-"))

    # Interactive commands

    def test_interactive_watch(self):
        watch = self.terminal("watch", "-i")
        watch.type("watch tk\nfrob\nwatch tk2 -- echo seen\n")
        watch.wait_for(r"Invalid command frob \(only support watch\)")
        # Until the server has both.
        for value in range(200):
            self.client.put(b"tk", b"v%d" % value)
            try:
                watch.wait_for(r"PUT\ntk\nv\d+", seconds=0.3)
                break
            except AssertionError:
                continue
        for value in range(200):
            self.client.put(b"tk2", b"w%d" % value)
            try:
                watch.wait_for(r"PUT\ntk2\nw\d+\nseen", seconds=0.3)
                break
            except AssertionError:
                continue
        self.client.delete(b"tk")
        watch.wait_for(r"DELETE\ntk\n")
        watch.type("\x04")
        watch.wait_for("Error: error reading watch request line: EOF")
        self.assertEqual(watch.wait(), 3)

    def test_interactive_transaction(self):
        self.client.put(b"tt", b"1")
        txn = self.terminal("txn", "-i")
        txn.wait_for("compares:")
        txn.type('value("tt") = "1"\n\n')
        txn.wait_for(r"success requests \(get, put, del\):")
        txn.type("put tt 2\nget tt\n\n")
        txn.wait_for(r"failure requests \(get, put, del\):")
        txn.type("\n")
        txn.wait_for(r"SUCCESS\n\nOK\n\ntt\n2\n")
        self.assertEqual(txn.wait(), 0)

    def test_password(self):
        """Asked for, and not shown."""
        asked = self.terminal("user", "add", "typist")
        asked.wait_for("Password of typist: ")
        asked.type("sesame\n")
        asked.wait_for("Type password of typist again for confirmation: ")
        asked.type("sesame\n")
        asked.wait_for("User typist created")
        self.assertEqual(asked.wait(), 0)
        self.assertNotIn("sesame", asked.shown)

    # What is drawn

    def test_bars(self):
        for i in range(8):
            self.client.put(b"bar%d" % i, os.urandom(1 << 20))
        path = self.server.work / "bar.db"
        save = self.terminal("snapshot", "save", str(path))
        self.assertEqual(save.wait(), 0, save.shown)
        self.assertRegex(save.text, r"snapshot \[#*\.*\] \d+% .* of .*, .*/s")
        # The bar is gone from the screen: the line is erased before the words.
        self.assertRegex(save.shown, r"\r\x1b\[KSnapshot saved at ")
        self.assertNotIn('{"level"', save.shown)
        with Server() as there:
            mirror = self.terminal("make-mirror", "--prefix", "bar", there.address)
            mirror.wait_for(r"mirror: 8 keys copied, at revision \d+")
            self.client.put(b"bar8", b"x")
            mirror.wait_for("mirror: 9 keys copied")
            mirror.type("\x03")
            self.assertEqual(mirror.wait(), -2)

    def test_colours(self):
        """Only on a terminal, only where etcdctl has none to be equal to."""
        self.client.put(b"plain", b"text")
        for arguments in (["get", "plain"], ["get", "plain", "-w", "json"], ["endpoint", "status", "-w", "table"], ["member", "list"], ["--help"]):
            shown = self.terminal(*arguments)
            self.assertEqual(shown.wait(), 0)
            self.assertNotIn(ESCAPE, shown.shown, arguments)
        shown = self.terminal("top", "--once", "--interval", "50ms")
        self.assertEqual(shown.wait(), 0)
        self.assertIn(ESCAPE + "[1m", shown.shown)
        for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            shown = self.terminal("top", "--once", "--interval", "50ms", env=env)
            self.assertEqual(shown.wait(), 0)
            self.assertNotIn(ESCAPE, shown.shown)
        done = run([self.ours, "top", "--interval", "50ms", "--endpoints", self.server.address])
        self.assertNotIn(ESCAPE, done.stdout)

    def test_top_goes_on(self):
        top = self.terminal("top", "--interval", "100ms", rows=12, columns=50)
        top.wait_for(r"(?s)ENDPOINT.*ENDPOINT.*ENDPOINT")
        top.type("\x03")
        self.assertEqual(top.wait(), -2)
        # Within the window.
        for screen in top.shown.split(ESCAPE + "[H")[1:-1]:
            lines = _plain(screen).split("\n")
            self.assertLessEqual(len(lines), 12)
            self.assertLessEqual(max(map(len, lines)), 50)

    def test_hints(self):
        shown = self.terminal("get", "x", "--command-timeout", "400ms", endpoints=f"127.0.0.1:{free_port()}")
        self.assertEqual(shown.wait(), 1)
        self.assertRegex(shown.text, r"Hint: nothing listens at the endpoint[^\n]*\nError: context deadline exceeded")
        shown = self.terminal("watch", "x", endpoints=f"127.0.0.1:{free_port()}")
        shown.wait_for(r"cannot be reached \(dial tcp [^\n]*connection refused\); trying on, Ctrl-C ends")
        shown.type("\x03")
        self.assertEqual(shown.wait(), -2)
        shown = self.terminal("lease", "keep-alive", "--once", "4711")
        self.assertEqual(shown.wait(), 2)
        self.assertIn("Hint: it has expired or was revoked", shown.text)


def _plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)


def _loosely(text):
    """As line editors show it: blanks may be drawn in other ways."""
    return re.escape(text).replace(r"\ ", r"\s+")


def _directory():
    return tempfile.TemporaryDirectory(prefix="martlet-shell-")
