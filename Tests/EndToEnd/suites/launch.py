"""The process: version, flags, environment, log, identity, start, stop, directories, ports."""

import hashlib
import json
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import tempfile
import time

from harness import peers
from harness.case import Case, Code, flag, run
from harness.client import Client, op_put
from harness.server import READY, Server, StartFailed, free_port

TS = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}(Z|[+-]\d{4})$")
LEVELS = ("debug", "info", "warn", "error", "dpanic", "panic", "fatal")


def binary(*arguments, env=None, timeout=20):
    with tempfile.TemporaryDirectory() as directory:
        base = {"PATH": os.environ["PATH"]}
        base.update(env or {})
        return run([peers.server(), *arguments], env=base, timeout=timeout, cwd=directory)


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


class Version(Case):
    def test_lines(self):
        for form in ("--version", "-version", "--version=true", "-version=1"):
            done = binary(form)
            self.assertEqual(done.returncode, 0)
            lines = done.stdout.splitlines()
            self.assertRegex(lines[0], r"^etcd Version: \d+\.\d+\.\d+$")
            self.assertTrue(any(line.startswith("Git SHA: ") for line in lines))
            self.assertTrue(any(line.startswith("Go Version: ") for line in lines))
            self.assertTrue(any(re.match(r"^Go OS/Arch: \w+/\w+$", line) for line in lines))

    def test_as_launchers_call_it(self):
        """Only PATH in the environment, another flag beside it, and fast."""
        started = time.monotonic()
        done = binary("--version", "--name=x", env={"ETCD_DATA_DIR": "/nonexistent"})
        self.assertEqual((done.returncode, "etcd Version" in done.stdout), (0, True))
        self.assertLess(time.monotonic() - started, 2)

    def test_martlet_says_who_it_is(self):
        if not peers.is_martlet(peers.server()):
            self.skipTest("not martlet")
        lines = binary("--version").stdout.splitlines()
        self.assertEqual(lines[0], "etcd Version: 3.7.1")
        self.assertTrue(any(re.match(r"(?i)^martlet version: \S+$", line) for line in lines), lines)


class CommandLine(Case):
    def test_unknown_flag(self):
        done = binary("--bogus")
        self.assertEqual(done.returncode, 2)
        self.assertIn("flag provided but not defined: -bogus", done.stderr)

    def test_bad_values(self):
        for form in ("--max-txn-ops=abc", "--heartbeat-interval=-5", "--snapshot-count=1.5", flag("warning-apply-duration") + "=10",
                     "--quota-backend-bytes=2GB", "--pre-vote=perhaps", "--max-request-bytes="):
            with self.subTest(form=form):
                done = binary(form)
                self.assertEqual(done.returncode, 2)
                self.assertIn("invalid", done.stderr)
                self.assertIn(form.split("=")[0].lstrip("-"), done.stderr.splitlines()[0])

    def test_value_missing(self):
        done = binary("--name")
        self.assertEqual(done.returncode, 2)
        self.assertIn("flag needs an argument: -name", done.stderr)

    def test_positional(self):
        done = binary("stray")
        self.assertEqual(done.returncode, 1)
        self.assertIn("failed to verify flags", done.stderr)
        self.assertIn("stray", done.stderr)

    def test_help(self):
        for form in ("--help", "-h"):
            done = binary(form)
            self.assertEqual(done.returncode, 0)
            self.assertIn("--data-dir", done.stdout + done.stderr)

    def test_refused_combinations(self):
        for flags in (("--heartbeat-interval=500", "--election-timeout=1000"), ("--election-timeout=60000",),
                      ("--listen-client-urls=http://127.0.0.1:1",),
                      ("--listen-client-urls=http://example.com:2379", "--advertise-client-urls=http://example.com:2379"),
                      ("--listen-client-urls=ftp://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379"),
                      ("--listen-client-urls=http://127.0.0.1", "--advertise-client-urls=http://127.0.0.1:2379"),
                      ("--listen-client-urls=http://127.0.0.1:2379/path", "--advertise-client-urls=http://127.0.0.1:2379"),
                      ("--auto-compaction-mode=sometimes",),
                      ("--initial-cluster=a=http://127.0.0.1:2380", "--discovery-srv=example.com")):
            with self.subTest(flags=flags):
                done = binary(*flags)
                self.assertIn(done.returncode, (1, 2), done.stderr)
                self.assertNotIn(READY, done.stderr)

    def test_name_not_in_the_initial_cluster(self):
        done = binary("--name=a", "--initial-cluster=b=http://localhost:2380", "--listen-peer-urls=http://127.0.0.1:0",
                      "--listen-client-urls=http://127.0.0.1:0", "--advertise-client-urls=http://127.0.0.1:1")
        self.assertEqual(done.returncode, 1, done.stderr)

    def test_forms_and_repetition(self):
        with tempfile.TemporaryDirectory() as directory:
            for flags in (["-max-txn-ops", "5", "--max-txn-ops=3", "--pre-vote", "--strict-reconfig-check=false"],
                          ["--max-txn-ops", "3", "-pre-vote=F", "--strict-reconfig-check"]):
                with Server(*flags, work=directory) as server, Client(server.address) as client:
                    client.txn(success=[op_put(b"%d" % i) for i in range(3)])
                    with self.fails(Code.INVALID_ARGUMENT, "etcdserver: too many operations in txn request"):
                        client.txn(success=[op_put(b"%d" % i) for i in range(4)])
                    server.stop()
                subprocess.run(["rm", "-rf", f"{directory}/data"], check=True)

    def test_flags_of_kubeadm(self):
        """What kubeadm's static pod gives, without TLS."""
        metrics = free_port()
        check = "--feature-gates=InitialCorruptCheck=true" if peers.version(peers.server()) >= (3, 6) else \
            "--experimental-initial-corrupt-check=true"
        with Server(check, flag("watch-progress-notify-interval") + "=5s",
                    f"--listen-metrics-urls=http://127.0.0.1:{metrics}", "--snapshot-count=10000") as server:
            for path in ("/health?serializable=true", "/livez", "/readyz", "/metrics"):
                done = run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{metrics}{path}"])
                self.assertEqual(done.stdout, "200", path)
            self.assertEqual(server.stop(), 143)

    def test_flags_of_envtest(self):
        """controller-runtime's envtest: a port for each role, a directory, an unsafe speed-up."""
        with Server("--unsafe-no-fsync") as server, Client(server.address) as client:
            client.put(b"a")




class Environment(Case):
    def flags_free(self, server):
        """Moves the server's own flags into its environment."""
        flags = server.own_flags()
        server.own_flags = lambda: []
        for name, value in zip(flags[::2], flags[1::2]):
            server.extra_env["ETCD_" + name[2:].upper().replace("-", "_")] = value
        return server

    def test_all_from_the_environment(self):
        server = self.flags_free(Server(env={"ETCD_MAX_TXN_OPS": "2", "ETCD_LOG_LEVEL": ""}))
        with server, Client(server.address) as client:
            client.put(b"a")
            used = [e for e in server.entries() if e["msg"] == "recognized and used environment variable"]
            self.assertIn(("ETCD_MAX_TXN_OPS", "2"), {(e["variable-name"], e["variable-value"]) for e in used})
            self.assertNotIn("ETCD_LOG_LEVEL", {e["variable-name"] for e in used})

    def test_unknown_variable_is_a_warning(self):
        with Server(env={"ETCD_NO_SUCH_THING": "1", "ETCD_VERIFY": "all"}) as server:
            warned = [e for e in server.entries() if e["msg"] == "unrecognized environment variable"]
            self.assertIn("ETCD_NO_SUCH_THING=1", {e["environment-variable"] for e in warned})
            self.assertEqual({e["level"] for e in warned}, {"warn"})

    def test_flag_and_variable_conflict(self):
        done = binary("--name=a", env={"ETCD_NAME": "b"})
        self.assertEqual(done.returncode, 1)
        entry = [json.loads(line) for line in done.stderr.splitlines() if '"fatal"' in line][-1]
        self.assertIn("conflicting environment variable is shadowed by corresponding command-line flag", entry["msg"])
        self.assertEqual(entry["environment-variable"], "ETCD_NAME")

    def test_bad_value_in_a_variable(self):
        done = binary(env={"ETCD_MAX_TXN_OPS": "abc"})
        self.assertIn(done.returncode, (1, 2))

    def test_nothing_but_path(self):
        with Server() as server:
            self.assertEqual(server.environment().keys(), {"PATH"})


class Log(Case):
    def test_every_line(self):
        with Server() as server:
            with Client(server.address) as client:
                client.put(b"a", b"b")
                client.compact(2)
                client.grant(10)
            server.restart()
            server.stop()
            entries = server.entries()
            self.assertGreater(len(entries), 5)
            for entry in entries:
                self.assertIn(entry["level"], LEVELS)
                self.assertRegex(entry["ts"], TS)
                self.assertTrue(entry["msg"])
                self.assertRegex(entry["caller"], r"^[\w@.\-/]+:\d+$")
                self.assertNotIn(entry["level"], ("error", "dpanic", "panic", "fatal"), entry)

    def test_keys_in_order(self):
        with Server() as server:
            for line in server.lines:
                keys = list(json.loads(line))
                head = [k for k in keys if k in ("level", "ts", "logger", "caller", "msg")]
                self.assertEqual(keys[:len(head)], head, line)
                self.assertEqual(head, [k for k in ("level", "ts", "logger", "caller", "msg") if k in keys])

    def test_lines_that_tools_wait_for(self):
        with Server("--snapshot-count=50") as server:
            ready = server.wait_for_line(READY)
            serving = server.wait_for_line("serving client traffic")
            self.assertGreater(serving, ready - 5)
            with Client(server.address) as client:
                for i in range(120):
                    client.put(b"k", b"%d" % i)
                server.wait_for_line("saved snapshot")
                client.compact(60, physical=True)
                server.wait_for_line("finished scheduled compaction")
            server.stop()
            messages = [e["msg"] for e in server.entries()]
            self.assertIn("closed etcd server", messages)
            signals = [e for e in server.entries() if e["msg"] == "received signal; shutting down"]
            self.assertEqual([e["signal"] for e in signals], ["terminated"])

    def test_levels(self):
        with Server("--log-level=debug") as server:
            for entry in server.entries():
                self.assertTrue(entry["msg"] and entry["caller"] and entry["ts"])
        server = Server("--log-level=error").spawn()
        try:
            with Client(server.address) as client:
                deadline = time.monotonic() + 30
                while time.monotonic() < deadline:
                    try:
                        client.put(b"a", timeout=1)
                        break
                    except Exception:
                        time.sleep(0.1)
                client.put(b"a")
            server.stop()
            self.assertEqual([e for e in server.entries() if e["level"] in ("debug", "info", "warn")], [])
        finally:
            server.close()

    def test_log_file(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "etcd.log"
            server = Server(f"--log-outputs={path}").spawn()
            try:
                deadline = time.monotonic() + 30
                while not path.exists() or READY not in path.read_text():
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.05)
                server.stop()
                self.assertIn("closed etcd server", path.read_text())
            finally:
                server.close()


class Identity(Case):
    def test_member_and_cluster_id(self):
        with Server("--initial-cluster-token=tok") as server, Client(server.address) as client:
            member = hashlib.sha1(server.peer_url.encode() + b"tok").digest()[:8]
            cluster = hashlib.sha1(member).digest()[:8]
            header = client.status().header
            self.assertEqual(header.member_id, int.from_bytes(member, "big"))
            self.assertEqual(header.cluster_id, int.from_bytes(cluster, "big"))
            answer = client.call("Cluster.MemberList", linearizable=True)
            self.assertEqual([(m.ID, m.name, list(m.peerURLs), list(m.clientURLs), m.isLearner) for m in answer.members],
                             [(header.member_id, "default", [server.peer_url], [server.url], False)])
            self.assertEqual(client.status().leader, header.member_id)

    def test_ids_outlive_changed_flags(self):
        with Server() as server:
            with Client(server.address) as client:
                before = client.status().header
            server.stop()
            server.flags.append("--initial-cluster-token=another")
            server.start()
            with Client(server.address) as client:
                after = client.status().header
            self.assertEqual((after.member_id, after.cluster_id), (before.member_id, before.cluster_id))

    def test_name_with_blanks(self):
        with Server(name="a name, with blanks".replace(",", "")) as server, Client(server.address) as client:
            self.assertEqual(client.call("Cluster.MemberList").members[0].name, "a name with blanks")


class Directory(Case):
    def test_existing_and_empty(self):
        with tempfile.TemporaryDirectory() as directory:
            data = pathlib.Path(directory) / "data"
            data.mkdir(mode=0o700)
            with Server(data_dir=data) as server:
                self.assertTrue((data / "member").is_dir())
                server.stop()

    def test_modes_and_layout(self):
        with Server() as server:
            for path in (server.data_dir, server.data_dir / "member", server.data_dir / "member/wal"):
                self.assertEqual(path.stat().st_mode & 0o777, 0o700, path)
            wals = sorted(p.name for p in (server.data_dir / "member/wal").iterdir() if p.suffix == ".wal")
            self.assertEqual(wals[0], "0000000000000000-0000000000000000.wal")

    def test_separate_wal_directory(self):
        with tempfile.TemporaryDirectory() as directory:
            with Server(f"--wal-dir={directory}/wal") as server:
                with Client(server.address) as client:
                    client.put(b"a", b"1")
                self.assertTrue(list(pathlib.Path(directory, "wal").glob("*.wal")))
                self.assertFalse((server.data_dir / "member/wal").exists())
                server.kill()
                server.start()
                with Client(server.address) as client:
                    self.assertEqual(client.get(b"a").value, b"1")

    def test_default_directory_is_named_after_the_member(self):
        server = Server(name="mine")
        server.own_flags = lambda: [f for f in Server.own_flags(server) if f != "--data-dir" and f != str(server.data_dir)]
        with server:
            self.assertTrue((server.work / "mine.etcd/member").is_dir())
            server.stop()


class StopAndStart(Case):
    def test_status_and_ports(self):
        with Server() as server:
            for sig, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
                started = time.monotonic()
                self.assertEqual(server.stop(sig), status)
                self.assertLess(time.monotonic() - started, 5)
                server.start()  # The same ports, at once.

    def test_stop_with_clients_connected(self):
        with Server() as server:
            clients = [Client(server.address) for _ in range(20)]
            streams = []
            for client in clients:
                streams.append(client.watch())
                streams[-1].create(b"a", b"z")
            started = time.monotonic()
            self.assertEqual(server.stop(), 143)
            self.assertLess(time.monotonic() - started, 10)
            for stream, client in zip(streams, clients):
                stream.cancel()
                client.close()

    def test_port_taken(self):
        with Server() as server:
            other = Server()
            other.client_port = server.client_port
            try:
                with self.assertRaises(StartFailed):
                    other.start()
                self.assertEqual(other.wait(), 1)
            finally:
                other.close()

    def test_stopped_and_continued(self):
        with Server() as server, Client(server.address) as client:
            client.put(b"a", b"1")
            for _ in range(3):
                os.kill(server.pid, signal.SIGSTOP)
                time.sleep(1.5)
                os.kill(server.pid, signal.SIGCONT)
                client.put(b"a", b"2")
            self.assertEqual(client.get(b"a").version, 4)

    def test_under_a_terminal(self):
        server = Server()
        leader, follower = pty.openpty()
        process = subprocess.Popen(server.command(), env=server.environment(), cwd=server.work, stdin=follower,
                                   stdout=follower, stderr=follower, start_new_session=True)
        os.close(follower)
        try:
            text, deadline = b"", time.monotonic() + 30
            while READY.encode() not in text:
                self.assertLess(time.monotonic(), deadline)
                text += os.read(leader, 65536)
            process.terminate()
            try:
                while os.read(leader, 65536):
                    pass
            except OSError:
                pass
            self.assertEqual(process.wait(20), -signal.SIGTERM)
        finally:
            process.kill()
            os.close(leader)
            server.close()

    def test_ready_notice(self):
        """sd_notify: READY=1 on $NOTIFY_SOCKET."""
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/notify"
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
                listener.bind(path)
                listener.settimeout(20)
                with Server(env={"NOTIFY_SOCKET": path}):
                    self.assertIn(b"READY=1", listener.recv(4096))

    def test_port_zero(self):
        """The kernel chooses; the log tells."""
        server = Server()
        server.own_flags = lambda: ["--data-dir", str(server.data_dir), "--listen-client-urls", "http://127.0.0.1:0",
                                    "--advertise-client-urls", "http://127.0.0.1:0", "--listen-peer-urls", "http://127.0.0.1:0"]
        with server:
            server.wait_for_line("serving client traffic")
            line = next(line for line in server.lines if "serving client traffic" in line)
            port = int(json.loads(line)["address"].rsplit(":", 1)[1])
            self.assertNotEqual(port, 0)
            with Client(f"127.0.0.1:{port}") as client:
                client.put(b"a")

    def test_localhost_keeps_its_name(self):
        server = Server()
        own = server.own_flags()
        url = f"http://localhost:{server.client_port}"
        own[own.index("--listen-client-urls") + 1] = own[own.index("--advertise-client-urls") + 1] = url
        server.own_flags = lambda: own
        with server, Client(server.address) as client:
            self.assertEqual(list(client.call("Cluster.MemberList").members[0].clientURLs), [url])

    def test_unix_socket(self):
        """A file in the working directory, named by what stands for host and port."""
        server = Server()
        own = server.own_flags()
        own[own.index("--listen-client-urls") + 1] += ",unix://localhost:12345"
        server.own_flags = lambda: own
        with server:
            self.assertTrue((server.work / "localhost:12345").is_socket())
            with Client(f"unix:{server.work}/localhost:12345") as client:
                client.put(b"a")

    def unix(self, *urls):
        server = Server()
        own = server.own_flags()
        own[own.index("--listen-client-urls") + 1] = ",".join((server.url,) + urls)
        server.own_flags = lambda: own
        return server

    def test_unix_sockets_of_all_forms(self):
        """Absolute and relative paths, and what Go makes of a URL: no user, no query, escapes read."""
        server = self.unix("unix://sub/a.sock", "unix://user@named:7?x=1", "unix://sub/with%20blank")
        (server.work / "sub").mkdir()
        path = f"{server.work}/absolute.sock"
        server.own_flags()[server.own_flags().index("--listen-client-urls") + 1] += f",unix://{path}"
        with server:
            for name in ("sub/a.sock", "named:7", "sub/with blank", "absolute.sock"):
                self.assertTrue((server.work / name).is_socket(), name)
                self.assertEqual((server.work / name).stat().st_mode & 0o777, 0o777 & ~current_umask())
            with Client(f"unix:{path}") as client:
                client.put(b"a", b"1")
            done = run([peers.etcdctl(), f"--endpoints=unix://{path}", "get", "a", "--print-value-only"]) if peers.etcdctl() else None
            self.assertTrue(done is None or done.stdout == "1\n", done)
            done = run(["curl", "-sS", "--unix-socket", path, "http://localhost/health"])
            self.assertEqual(done.stdout, '{"health":"true","reason":""}')
            self.assertEqual(server.stop(), 143)
            self.assertFalse([p for p in server.work.rglob("*") if p.is_socket()], "sockets are removed at the stop")

    def test_stale_unix_socket(self):
        """What a killed server left behind is replaced."""
        server = self.unix("unix://s.sock")
        with server:
            server.kill()
            self.assertTrue((server.work / "s.sock").is_socket())
            server.start()
            with Client(f"unix:{server.work}/s.sock") as client:
                client.put(b"a")

    def test_ipv6(self):
        with socket.socket(socket.AF_INET6) as probe:
            try:
                probe.bind(("::1", 0))
            except OSError:
                self.skipTest("no IPv6")
        port = free_port()
        with self.unix(f"http://[::1]:{port}") as server, Client(f"[::1]:{port}") as client:
            client.put(b"a")
            self.assertIn(f"[::1]:{port}", {e.get("address") for e in server.entries()})

    def test_every_address(self):
        port = free_port()
        with self.unix(f"http://0.0.0.0:{port}"), Client(f"127.0.0.2:{port}") as client:
            client.put(b"a")

    def test_several_client_urls(self):
        extra = free_port()
        server = Server()
        own = server.own_flags()
        own[own.index("--listen-client-urls") + 1] += f",http://127.0.0.1:{extra}"
        server.own_flags = lambda: own
        with server, Client(f"127.0.0.1:{extra}") as client:
            client.put(b"a")
