"""martletutl beside etcdutl 3.5.30 and 3.5.1, beside an independent reader of the formats, and between the servers: what either
saves the other restores, real etcd starts on what is exported, and damage is told.

martletutl prints what etcdutl 3.7 prints; where 3.5 prints less, the test says what is left out.
"""

import atexit
import functools
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from harness import api, bolt, peers
from harness.case import Case, run
from harness.client import Client
from harness.hashkv import crc32c
from harness.server import Server
from harness.wal import ENTRY, METADATA, SNAPSHOT, STATE
from harness import wal
from suites.snapshot import history, save, state


def tool():
    found = peers.martletutl()
    if not found:
        raise unittest.SkipTest("there is no martletutl")
    return found


def utl(*arguments, check=False, timeout=120, **options):
    return run([tool(), *map(str, arguments)], check=check, timeout=timeout, **options)


def snapshot_bytes(client):
    data, _ = save(client)
    return data + hashlib.sha256(data).digest()


def restore(binary, path, server, target, *flags):
    """A data directory from a snapshot, by either tool."""
    return run([binary, "snapshot", "restore", str(path), "--data-dir", str(target), "--name", "default",
                "--initial-cluster", f"default={server.peer_url}", "--initial-advertise-peer-urls", server.peer_url,
                *map(str, flags)], check=True, timeout=120)


def live_keys(buckets):
    live = set()
    for key, value in buckets["key"]:
        name = api.mvccpb.KeyValue.FromString(value).key
        live.discard(name) if bolt.revision(key)[2] else live.add(name)
    return len(live)


def hash_kv(buckets, at=0):
    """(hash, revision, compaction) by HashKV's definition, from the records themselves."""
    meta = dict(buckets["meta"])
    compacted = max([int.from_bytes(meta[name][:8], "big") for name in (b"scheduledCompactRev", b"finishedCompactRev") if name in meta] or [0])
    revisions = [(bolt.revision(key), key, value) for key, value in buckets["key"]]
    at = at or max([compacted, 1] + [revision[0] for revision, _, _ in revisions])
    last = {}
    for revision, _, value in revisions:
        if revision[0] <= at:
            last[api.mvccpb.KeyValue.FromString(value).key] = revision
    kept = {revision for revision in last.values() if not revision[2]}
    crc = crc32c(b"key")
    for revision, key, value in revisions:
        if revision[0] > at or (revision[0] <= compacted and kept and revision not in kept) or (revision[0] == compacted and revision[2]):
            continue
        crc = crc32c(value, crc32c(key, crc))
    return crc, at, compacted


class Material:
    """Files of one real etcd and one server under test, made once for all tests."""

    def __init__(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="martlet-utl-"))
        atexit.register(shutil.rmtree, self.work, ignore_errors=True)
        self.states, self.hashes = {}, {}
        for name, binary in (("etcd", peers.etcd()), ("martlet", peers.server())):
            work = self.work / name
            work.mkdir()
            with Server("--snapshot-count", "100", binary=binary, work=work) as server:
                with Client(server.address) as client:
                    history(client, random.Random(11), steps=220)
                    client.call("Auth.RoleAdd", name="rr")
                    client.call("Auth.RoleGrantPermission", name="rr", perm={"permType": 2, "key": b"k/", "range_end": b"k0"})
                    client.call("Auth.UserAdd", name="u3", options={"no_password": True})
                    client.call("Auth.UserGrantRole", user="u3", role="rr")
                    self.states[name] = state(client)
                    answer = client.call("Maintenance.HashKV")
                    self.hashes[name] = (answer.hash, client.revision(), max(answer.compact_revision, 0))
                    (self.work / f"{name}.snap").write_bytes(snapshot_bytes(client))
                server.stop()
                shutil.copytree(server.data_dir, self.work / f"{name}.data")


material = functools.cache(Material)


class Files(Case):
    @classmethod
    def setUpClass(cls):
        tool()
        if not peers.etcd() or not peers.etcdutl():
            raise unittest.SkipTest("there is no real etcd with its etcdutl")
        if not peers.is_martlet(peers.server()):
            raise unittest.SkipTest("compares martlet with etcd")
        made = material()
        cls.work, cls.states, cls.hashes = made.work, made.states, made.hashes

    def database(self, name):
        return bolt.File((self.work / f"{name}.snap").read_bytes()[:-32], is_copy=name == "etcd").buckets()

    def tools(self):
        yield peers.etcdutl()
        if peers.old_etcdutl():
            yield peers.old_etcdutl()


class Status(Files):
    def test_formats_as_etcdutl(self):
        for name in ("etcd", "martlet"):
            path = self.work / f"{name}.snap"
            for reference in self.tools():
                for form in ("simple", "json", "fields", "table", "protobuf", "bogus"):
                    with self.subTest(name, reference=reference, form=form):
                        theirs = run([reference, "snapshot", "status", str(path), "-w", form])
                        ours = utl("snapshot", "status", path, "-w", form)
                        self.assertEqual((ours.returncode, ours.stderr), (theirs.returncode, theirs.stderr))
                        self.assertEqual(self.earlier(ours.stdout, form, name), self.cells(theirs.stdout, form))

    def cells(self, text, form):
        """A table's cells, whatever its frame is made of: 3.5 draws other ones."""
        if form != "table":
            return text
        return [re.split(r"\s*[|│]\s*", line.strip())[1:-1] for line in text.splitlines() if re.match(r"[|│]", line)]

    def earlier(self, text, form, name):
        """3.5 counts the pairs of all buckets as keys, and shows no version."""
        pairs = str(sum(len(pairs) for pairs in self.database(name).values()))
        live = live_keys(self.database(name))
        if form == "simple":
            cells = text.rstrip("\n").split(", ")
            self.assertEqual(cells[2], str(live))
            return ", ".join(cells[:2] + [pairs, cells[3]]) + "\n"
        if form == "json":
            parsed = json.loads(text)
            self.assertEqual(parsed.pop("totalKey"), live)
            self.assertEqual(list(json.loads(text)), ["hash", "revision", "totalKey", "totalSize", "version"])
            return json.dumps({"hash": parsed["hash"], "revision": parsed["revision"], "totalKey": int(pairs), "totalSize": parsed["totalSize"]},
                              separators=(",", ":")) + "\n"
        if form == "fields":
            return re.sub(r'"Keys" : \d+', f'"Keys" : {pairs}', re.sub(r'"Version" : .*\n', "", text))
        if form == "table":
            rows = self.cells(text, form)
            return [rows[0][:4], rows[1][:2] + [pairs] + rows[1][3:4]]
        return text

    def test_bad_files(self):
        whole = (self.work / "etcd.snap").read_bytes()
        with tempfile.TemporaryDirectory() as directory:
            directory = pathlib.Path(directory)
            (directory / "short").write_bytes(whole[:100])
            (directory / "noise").write_bytes(random.Random(1).randbytes(20000))
            for arguments in (["missing"], ["short"], ["noise"], ["."], [], ["a", "b"]):
                theirs = run([peers.etcdutl(), "snapshot", "status", *arguments], cwd=directory)
                ours = run([tool(), "snapshot", "status", *arguments], cwd=directory)
                self.assertEqual((ours.returncode, ours.stdout, ours.stderr), (theirs.returncode, theirs.stdout, theirs.stderr), arguments)
            # Where etcdutl crashes or waits, ours has a word and a status.
            root = bolt.File(whole[:-32], is_copy=True).root * 4096
            cases = {"torn": whole[:len(whole) // 2], "empty": b"", "another page": whole[:root] + whole[:4096] + whole[root + 4096:]}
            for name, data in cases.items():
                (directory / name).write_bytes(data)
                done = run([tool(), "snapshot", "status", name], cwd=directory)
                self.assertEqual(done.returncode, 1, done)
                self.assertRegex(done.stderr, "^Error: ", name)
            rng = random.Random(8)
            for number in range(25):
                data = bytearray(whole)
                for _ in range(3):
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
                (directory / "flipped").write_bytes(data)
                done = utl("snapshot", "restore", directory / "flipped", "--data-dir", directory / "r")
                self.assertEqual(done.returncode, 1)
                self.assertIn("Error: expected sha256 [", done.stderr)
                self.assertFalse((directory / "r").exists())
                for command in (["snapshot", "status"], ["hashkv"], ["verify"], ["dump-db", "hash"]):
                    done = utl(*command, directory / "flipped")
                    self.assertIn(done.returncode, (0, 1), (number, command, done.stderr))
                    self.assertTrue(done.returncode == 0 or done.stderr.startswith("Error: "), done.stderr)
                self.assertEqual(utl("verify", directory / "flipped").returncode, 1)

    def test_in_use(self):
        """The database of a running etcd is locked, and so is a running martlet's store."""
        with Server(binary=peers.etcd()) as real, Server() as server:
            database = real.data_dir / "member/snap/db"
            for command in (["snapshot", "status", database], ["hashkv", database], ["dump-db", "list-bucket", real.data_dir],
                            ["verify", real.data_dir], ["hashkv", server.data_dir], ["verify", server.data_dir],
                            ["export", "--data-dir", server.data_dir, "--output", server.work / "out"]):
                done = utl(*command, "--timeout", "200ms")
                self.assertEqual(done.returncode, 1, command)
                self.assertIn("is in use: another process, such as a running server, holds its lock", done.stdout + done.stderr)
            self.assertFalse((server.work / "out").exists())


class HashKV(Files):
    def test_as_the_servers_say(self):
        for name in ("etcd", "martlet"):
            expected = self.hashes[name]
            for path in (f"{name}.snap", f"{name}.data"):
                done = utl("hashkv", self.work / path, check=True)
                self.assertEqual(tuple(map(int, done.stdout.split(", "))), expected, path)
            self.assertEqual(json.loads(utl("hashkv", self.work / f"{name}.snap", "--json").stdout),
                             {"hash": expected[0], "hashRevision": expected[1], "compactRevision": expected[2]})
            self.assertEqual(utl("hashkv", self.work / f"{name}.snap", "-w", "fields").stdout,
                             '"Hash" : {}\n"Hash revision" : {}\n"Compact revision" : {}\n'.format(*expected))

    def test_by_definition(self):
        for name in ("etcd", "martlet"):
            buckets = self.database(name)
            _, last, compacted = hash_kv(buckets)
            for revision in sorted({max(compacted, 1), (compacted + last) // 2, last - 1, last}):
                done = utl("hashkv", self.work / f"{name}.snap", "--rev", revision, check=True)
                self.assertEqual(tuple(map(int, done.stdout.split(", "))), hash_kv(buckets, revision), (name, revision))
            self.assertEqual(utl("hashkv", self.work / f"{name}.snap", "--rev", last + 1).stderr,
                             "Error: mvcc: required revision is a future revision\n")
            if compacted > 1:
                self.assertEqual(utl("hashkv", self.work / f"{name}.snap", "--rev", compacted - 1).stderr,
                                 "Error: mvcc: required revision has been compacted\n")


class Restore(Files):
    def check(self, target, server, expected):
        """A server starts on the directory and shows what the snapshot held."""
        server.data_dir = target
        with server, Client(server.address) as client:
            self.assertEqual(state(client), {**expected, "revision": expected["revision"]})
            self.assertEqual([user for user in client.call("Auth.UserList").users], ["u3"])
            client.put(b"after", b"restore")
            self.assertEqual(client.revision(), expected["revision"] + 1)

    def test_both_ways(self):
        for name in ("etcd", "martlet"):
            for reference in (tool(), peers.etcdutl()):
                for binary in (peers.etcd(), peers.server()):
                    if reference != tool() and binary == peers.etcd() and name == "etcd":
                        continue  # etcd's own affair
                    with self.subTest(name, reference=reference, binary=binary):
                        server = Server(binary=binary)
                        try:
                            target = server.work / "restored"
                            restore(reference, self.work / f"{name}.snap", server, target)
                            self.check(target, server, self.states[name])
                        finally:
                            server.close()

    def test_old_etcd(self):
        if not peers.old_etcd():
            self.skipTest("there is no etcd 3.5.1")
        server = Server(binary=peers.old_etcd())
        try:
            restore(tool(), self.work / "etcd.snap", server, server.work / "restored")
            self.check(server.work / "restored", server, self.states["etcd"])
        finally:
            server.close()

    def test_same_directory_as_etcdutl(self):
        """The same files, the same members, the same records of the log; the database differs in its layout only."""
        with tempfile.TemporaryDirectory() as directory:
            directory = pathlib.Path(directory)
            flags = ["--name", "b", "--initial-cluster", "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3",
                     "--initial-advertise-peer-urls", "http://127.0.0.1:2", "--initial-cluster-token", "t1"]
            said = []
            for binary, target in ((peers.etcdutl(), "theirs"), (tool(), "ours")):
                done = run([binary, "snapshot", "restore", str(self.work / "etcd.snap"), "--data-dir", str(directory / target),
                            "--wal-dir", str(directory / f"{target}.wal"), *flags], check=True)
                lines = [line.replace(target, "it").split("\t") for line in done.stderr.splitlines()]
                said.append([(line[1], line[3], line[4:]) for line in lines])
            self.assertEqual(*said)
            names = [sorted(str(path.relative_to(directory / target)) for path in (directory / target).rglob("*")) for target in ("theirs", "ours")]
            self.assertEqual(*names)
            logs = [[(record.type, record.data) for record in wal.read(next((directory / f"{target}.wal").glob("*.wal")))] for target in ("theirs", "ours")]
            self.assertEqual([record for record in logs[0] if record[0] in (METADATA, ENTRY, STATE)],
                             [record for record in logs[1] if record[0] in (METADATA, ENTRY, STATE)])
            self.assertEqual([api.walpb.Snapshot.FromString(data) for kind, data in logs[0] if kind == SNAPSHOT],
                             [api.walpb.Snapshot.FromString(data) for kind, data in logs[1] if kind == SNAPSHOT])
            databases = [bolt.File((directory / target / "member/snap/db").read_bytes()).buckets() for target in ("theirs", "ours")]
            for buckets in databases:
                # The configuration of the old cluster: 3.5 leaves it, and replaces it at the start.
                buckets["meta"] = [pair for pair in buckets["meta"] if pair[0] != b"confState"]
                buckets["members"] = [(key, json.loads(value)) for key, value in buckets["members"]]
            self.assertEqual(*databases)

    def test_revisions_are_skipped(self):
        flags = ["--bump-revision", "100000", "--mark-compacted"]
        for binary in (peers.etcd(), peers.server()):
            server = Server(binary=binary)
            try:
                target = server.work / "restored"
                done = restore(tool(), self.work / "etcd.snap", server, target, *flags)
                self.assertIn("bumping latest revision", done.stderr)
                server.data_dir = target
                with server, Client(server.address) as client:
                    self.assertEqual(client.revision(), self.states["etcd"]["revision"] + 100000)
                    self.assertEqual([kv for kv in client.range(b"\0", b"\0").kvs], self.states["etcd"]["keys"])
            finally:
                server.close()

    def test_refusals(self):
        with tempfile.TemporaryDirectory() as directory:
            directory = pathlib.Path(directory)
            plain = (self.work / "etcd.snap").read_bytes()[:-32]
            (directory / "plain").write_bytes(plain)
            (directory / "full").mkdir()
            (directory / "full/x").touch()
            snap = str(self.work / "etcd.snap")
            for arguments in ([snap], [snap, "--data-dir", "d", "--name", "x"], [snap, "--data-dir", "full"],
                              ["plain", "--data-dir", "d"], ["missing", "--data-dir", "d"], [snap, "--data-dir", "d", "--wal-dir", "full"],
                              [snap, "--data-dir", "d", "--initial-cluster", "default=ftp://a:1"],
                              [snap, "--data-dir", "d", "--initial-cluster", "default=http://127.0.0.1:1"],
                              [snap, "--data-dir", "d", "--initial-cluster", "default=http://localhost:2380,x=http://localhost:2380"],
                              [snap, "--data-dir", "d", "--mark-compacted"], [snap, "--data-dir", "d", "--bump-revision", "5"],
                              ["--data-dir", "d"]):
                if arguments == [snap]:
                    continue  # 3.7 takes NAME.etcd, 3.5 wants the flag
                with self.subTest(arguments=arguments):
                    theirs = run([peers.etcdutl(), "snapshot", "restore", *arguments], cwd=directory)
                    shutil.rmtree(directory / "d", ignore_errors=True)
                    ours = run([tool(), "snapshot", "restore", *arguments], cwd=directory)
                    error = lambda done: [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
                    self.assertEqual((ours.returncode, error(ours)), (theirs.returncode, error(theirs)))
                    self.assertFalse((directory / "d").exists())
            utl("snapshot", "restore", directory / "plain", "--data-dir", directory / "d", "--skip-hash-check", check=True)
            self.assertEqual(sorted(os.listdir(directory)), ["d", "full", "plain"])

    def test_killed(self):
        """Wherever it is killed, the directory is not there, or whole; the next attempt succeeds."""
        with tempfile.TemporaryDirectory() as directory:
            directory = pathlib.Path(directory)
            target = directory / "d"
            # Large enough that there is a middle.
            big = directory / "big.snap"
            with Server() as server, Client(server.address) as client:
                for number in range(24):
                    client.put(b"big/%d" % number, os.urandom(1_000_000))
                big.write_bytes(snapshot_bytes(client))
            seen = set()
            for delay in (0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12):
                process = subprocess.Popen([tool(), "snapshot", "restore", str(big), "--data-dir", str(target)],
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(delay)
                process.kill()
                process.wait()
                if target.exists():
                    seen.add("whole")
                    self.assertEqual(utl("verify", target).returncode, 0)
                    shutil.rmtree(target)
                elif (directory / "d.part").exists():
                    seen.add("aside")
            done = utl("snapshot", "restore", big, "--data-dir", target)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(utl("verify", target).returncode, 0)
            self.assertEqual(sorted(os.listdir(directory)), ["big.snap", "d"])


class Export(Files):
    def test_etcd_starts_on_it(self):
        """Cleanly stopped and killed: the same keys, leases, users, IDs and hash."""
        source = self.work / "martlet.data"
        for killed in (False, True):
            with Server() as server:
                with Client(server.address) as client:
                    history(client, random.Random(5), steps=60)
                    client.call("Auth.UserAdd", name="u", options={"no_password": True})
                    expected = state(client)
                    members = client.call("Cluster.MemberList")
                if killed:
                    server.kill()
                else:
                    server.stop()
                done = utl("export", "--data-dir", server.data_dir, "--output", server.work / "out", "--target-version", "3.5", "--json", check=True)
                facts = json.loads(done.stdout)
                self.assertLessEqual(facts["revision"], expected["revision"])
                self.assertEqual(utl("verify", server.work / "out").returncode, 0)
                binaries = [peers.etcd()] + ([peers.old_etcd()] if peers.old_etcd() and not killed else [])
                for binary in binaries:
                    copy = server.work / "copy"
                    shutil.copytree(server.work / "out", copy)
                    with Server(binary=binary, data_dir=copy) as real, Client(real.address) as client:
                        self.assertEqual(state(client), expected, (killed, binary))
                        self.assertEqual(list(client.call("Auth.UserList").users), ["u"])
                        after = client.call("Cluster.MemberList")
                        self.assertEqual((after.header.cluster_id, [m.ID for m in after.members]), (members.header.cluster_id, [m.ID for m in members.members]))
                        client.put(b"after", b"export")
                    shutil.rmtree(copy)
        self.assertEqual(utl("export", "--data-dir", self.work / "etcd.data", "--output", self.work / "no").stderr,
                         f"Error: {self.work / 'etcd.data'} is a data directory of etcd's already\n")
        self.assertTrue(source.exists())

    def test_nothing_is_changed(self):
        source = self.work / "martlet.data"
        digest = lambda: {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(source.rglob("*")) if path.is_file()}
        before = digest()
        for command in (["hashkv", source], ["verify", source], ["dump-db", "list-bucket", source], ["dump-db", "iterate-bucket", source, "key"],
                        ["dump-db", "hash", source], ["dump-db", "scan-keys", source, "0"], ["dump-logs", source],
                        ["export", "--data-dir", source, "--output", self.work / "unchanged"]):
            utl(*command, check=True)
        self.assertEqual(digest(), before)
        # Killed in the middle: nothing under the name.
        self.assertTrue((self.work / "unchanged/member/snap/db").exists())


class Maintenance(Files):
    def test_defrag(self):
        for name in ("etcd", "martlet"):
            with tempfile.TemporaryDirectory() as directory:
                copy = pathlib.Path(directory) / "d"
                shutil.copytree(self.work / f"{name}.data", copy)
                before = utl("hashkv", copy, check=True).stdout
                done = utl("defrag", "--data-dir", copy)
                self.assertEqual((done.returncode, done.stdout), (0, ""))
                self.assertEqual([line.split("\t")[3] for line in done.stderr.splitlines()], ["defragmenting", "finished defragmenting directory"])
                self.assertEqual(utl("hashkv", copy, check=True).stdout, before)
                self.assertEqual(utl("verify", copy).returncode, 0)
                if name == "etcd":
                    self.assertLess((copy / "member/snap/db").stat().st_size, (self.work / "etcd.data/member/snap/db").stat().st_size)
                    self.assertEqual(run([peers.etcdutl(), "defrag", "--data-dir", str(copy)]).returncode, 0)
                    self.assertEqual(utl("hashkv", copy, check=True).stdout, before)
                binary = peers.etcd() if name == "etcd" else peers.server()
                with Server(binary=binary, data_dir=copy) as server, Client(server.address) as client:
                    self.assertEqual(state(client)["hash"][0], self.states[name]["hash"][0])
        missing = utl("defrag", "--data-dir", "/nonexistent")
        self.assertEqual(missing.returncode, 1)
        self.assertRegex(missing.stderr, r"^Error: Failed to defragment etcd data\[/nonexistent\] \(")
        self.assertIn('Error: required flag(s) "data-dir" not set', utl("defrag").stderr)

    def test_migrate(self):
        with tempfile.TemporaryDirectory() as directory:
            copy = pathlib.Path(directory) / "d"
            shutil.copytree(self.work / "etcd.data", copy)
            meta = lambda: dict(bolt.File((copy / "member/snap/db").read_bytes()).buckets()["meta"])
            utl("hashkv", copy, check=True)
            for target, version, word in (("3.5", None, "storage version up-to-date"), ("3.6", b"3.6.0", "updated storage version"),
                                          ("3.7", b"3.7.0", "updated storage version"), ("3.7", b"3.7.0", "storage version up-to-date"),
                                          ("3.5", None, "updated storage version")):
                done = utl("migrate", "--data-dir", copy, "--target-version", target)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(word, done.stderr)
                self.assertEqual(meta().get(b"storageVersion"), version)
            done = utl("migrate", "--data-dir", copy, "--target-version", "3.9")
            self.assertEqual((done.returncode, done.stderr), (1, 'Error: cannot create migration plan: version "3.9.0" is not supported\n'))
            self.assertEqual(utl("migrate", "--data-dir", copy, "--target-version", "3.9", "--force").returncode, 0)
            self.assertEqual(meta().get(b"storageVersion"), b"3.9.0")
            utl("migrate", "--data-dir", copy, "--target-version", "3.5", "--force", check=True)
            with Server(binary=peers.etcd(), data_dir=copy) as server, Client(server.address) as client:
                self.assertEqual(state(client)["hash"][0], self.states["etcd"]["hash"][0])

    def test_verify(self):
        for name in ("etcd", "martlet"):
            source = self.work / f"{name}.data"
            done = utl("verify", source, "--json")
            self.assertEqual(done.returncode, 0, done.stdout)
            found = json.loads(done.stdout)
            self.assertTrue(found["ok"] and all(part["ok"] for part in found["parts"]))
            self.assertIn(f"HashKV {self.hashes[name][0]}", json.dumps(found))
            rng = random.Random(4)
            # A byte in the middle of what every kind of file holds.
            files = [path for path in source.rglob("*") if path.is_file() and path.suffix in (".seg", ".wal") or path.name in ("MANIFEST", "db")]
            for path in files:
                with self.subTest(path=path), tempfile.TemporaryDirectory() as directory:
                    copy = pathlib.Path(directory) / "d"
                    shutil.copytree(source, copy)
                    victim = copy / path.relative_to(source)
                    data = bytearray(victim.read_bytes())
                    if path.suffix == ".wal":
                        used = len(bytes(data).rstrip(b"\0"))
                        at = rng.randrange(16, used // 2)
                    elif path.name == "db":
                        # bbolt has checksums for its meta pages only: elsewhere the shape of a page tells.
                        file = bolt.File(bytes(data))
                        file.buckets()
                        at = 4096 * max(page for page in file.used if page >= 2 and data[4096 * page:4096 * page + 8] == page.to_bytes(8, "little")) + 8
                    else:
                        at = rng.randrange(len(data) // 2, len(data))
                    data[at] ^= 0x55
                    victim.write_bytes(data)
                    done = utl("verify", copy)
                    self.assertEqual(done.returncode, 1, f"{path.name} at {at}\n{done.stdout}")
                    self.assertIn("DAMAGED", done.stdout)
                    self.assertEqual(done.stderr, f"Error: {copy} is damaged\n")
            with tempfile.TemporaryDirectory() as directory:
                copy = pathlib.Path(directory) / "d"
                shutil.copytree(source, copy)
                # A torn end is no damage.
                last = sorted((copy / "member/wal").glob("*.wal"))[-1]
                data = last.read_bytes()
                used = len(data.rstrip(b"\0"))
                last.write_bytes(data[:used - 3])
                done = utl("verify", copy)
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertIn("note: ", done.stdout)


class Dumps(Files):
    def test_buckets(self):
        for name in ("etcd", "martlet"):
            buckets = self.database(name)
            for path in (f"{name}.data", f"{name}.data/member/snap/db"):
                path = self.work / path
                if not path.exists():
                    continue
                self.assertEqual(utl("dump-db", "list-bucket", path, check=True).stdout.split(), sorted(buckets))
                lines = utl("dump-db", "iterate-bucket", path, "key", "--decode", check=True).stdout.splitlines()
                expected = []
                for key, value in reversed(buckets["key"]):
                    main, sub, dead = bolt.revision(key)
                    kv = api.mvccpb.KeyValue.FromString(value)
                    expected.append((f"rev={{Revision:{{Main:{main} Sub:{sub}}} tombstone:{str(dead).lower()}}}",
                                     f"created {kv.create_revision} | mod {kv.mod_revision} | ver {kv.version}]"))
                self.assertEqual([(line.split(", value=[")[0], line.rsplit("| created ")[-1].join(["created ", ""])) for line in lines], expected)
                limited = utl("dump-db", "iterate-bucket", path, "key", "--limit", "3", check=True).stdout.splitlines()
                self.assertEqual(len(limited), 3)
                self.assertRegex(limited[0], r'^key="(\\x00)+.*_(\\x00)+.*", value="')
                self.assertEqual(utl("dump-db", "iterate-bucket", path, "authUsers", "--decode", check=True).stdout, 'user="u3", roles=["rr"], option=no_password:true\n')
                self.assertEqual(utl("dump-db", "iterate-bucket", path, "authRoles", "--decode", check=True).stdout,
                                 'role="rr", keyPermission=[permType:READWRITE key:"k/" range_end:"k0"]\n')
                self.assertEqual(len(utl("dump-db", "iterate-bucket", path, "lease", "--decode", check=True).stdout.splitlines()), len(buckets["lease"]))
                self.assertEqual(utl("dump-db", "iterate-bucket", path, "zz").stderr, "Error: got nil bucket for zz\n")
                scanned = utl("dump-db", "scan-keys", path, "0", check=True).stdout
                found = {tuple(map(int, pair)) for pair in re.findall(r"Main:(\d+) Sub:(\d+)", scanned)}
                self.assertLessEqual({bolt.revision(key)[:2] for key, _ in buckets["key"]}, found)
                first = sorted(found)[len(found) // 2][0]
                later = utl("dump-db", "scan-keys", path, first, check=True).stdout
                self.assertEqual(min(int(main) for main in re.findall(r"Main:(\d+)", later)), first)
            digest = bolt.hash_of(buckets, bolt.HASH_IGNORES)
            shown = utl("dump-db", "hash", self.work / f"{name}.snap", check=True).stdout
            self.assertEqual(shown, f"db path: {self.work / name}.snap\nHash: {digest}\n")

    def records(self, name):
        found = []
        for path in sorted((self.work / f"{name}.data/member/wal").glob("*.wal")):
            found += wal.read(path)
        return found

    def test_logs(self):
        for name in ("etcd", "martlet"):
            source = self.work / f"{name}.data"
            records = self.records(name)
            entries = [api.raftpb.Entry.FromString(record.data) for record in records if record.type == ENTRY]
            state = [api.raftpb.HardState.FromString(record.data) for record in records if record.type == STATE][-1]
            metadata = api.etcdserverpb.Metadata.FromString(next(record.data for record in records if record.type == METADATA))
            text = utl("dump-logs", source, "-start-index", "1", check=True).stdout
            head, body = text.split("term\t     index\ttype\tdata\n")
            self.assertEqual(head, f"Start dumping log entries from index 1.\nWAL metadata:\nnodeID={metadata.NodeID:x} clusterID={metadata.ClusterID:x} "
                                   f"term={state.term} commitIndex={state.commit} vote={state.vote:x}\nWAL entries: {len(entries)}\nlastIndex={entries[-1].Index}\n")
            lines, tail = body.rsplit("\n\n", 1)
            lines = lines.split("\n")
            self.assertEqual(tail, f"Entry types (Normal,ConfigChange) count is : {len(entries)}\n")
            self.assertEqual([tuple(map(int, line.split("\t")[:2])) for line in lines], [(entry.Term, entry.Index) for entry in entries])
            puts = 0
            for line, entry in zip(lines, entries):
                if entry.Type == 0 and entry.Data:
                    request = self.request(entry.Data)
                    if request is not None and request.HasField("put"):
                        puts += 1
                        self.assertIn(f' put:{{key:"{request.put.key.decode()}"' if request.put.key != b"\xff\xff" else ' put:{key:"\\xff\\xff"', line)
                if entry.Type == 1:
                    self.assertIn("\tconf\tmethod=ConfChangeAddNode id=", line)
            self.assertGreater(puts, 50)
            some = utl("dump-logs", source, "--start-index", "1", "--entry-type", "IRRPut", check=True).stdout
            self.assertIn(f"Entry types (IRRPut) count is : {puts}\n", some)
            window = utl("dump-logs", source, "--start-index", "20", "--end-index", "30", check=True).stdout
            self.assertIn("WAL entries: 10\nlastIndex=29\n", window)
            raw = utl("dump-logs", "--raw", source, check=True).stdout.rstrip("\n").split("\n")
            self.assertEqual(raw[-1], "EOF: All entries were processed.")
            self.assertEqual([line.split(":")[0] for line in raw[:-1]],
                             [{1: "Metadata", 2: "Entry", 3: "HardState", 4: "CRC", 5: "Snapshot"}[record.type] for record in records])
            elsewhere = utl("dump-logs", "/nonexistent", "--wal-dir", source / "member/wal", "--start-index", "1", check=True).stdout
            self.assertEqual(elsewhere, text)
            plain = utl("dump-logs", source, check=True).stdout
            self.assertTrue(plain.startswith("Snapshot:\n"))
            self.assertIn("Start dumping log entries from snapshot.\n", plain)

    @staticmethod
    def request(data):
        try:
            return api.InternalRaftRequest.FromString(data)
        except Exception:  # noqa: BLE001: a request of the old key space
            return None

    def test_stream_decoder(self):
        with tempfile.TemporaryDirectory() as directory:
            script = pathlib.Path(directory) / "decode"
            script.write_text('#!/bin/sh\nwhile read -r line; do case $1 in good) echo "OK|${#line}";; bad) echo "${#line}";; *) echo "A|B|C";; esac; done\necho bye >&2\n')
            script.chmod(0o755)
            source = self.work / "etcd.data"
            entries = [api.raftpb.Entry.FromString(record.data) for record in self.records("etcd") if record.type == ENTRY][:99]
            window = "--start-index", "1", "--end-index", "100"
            done = utl("dump-logs", source, *window, "--stream-decoder", f"{script} good", check=True)
            self.assertIn("term\t     index\ttype\tdata\tdecoder_status\tdecoded_data\n", done.stdout)
            self.assertEqual(re.findall(r"\tOK\t(\d+)$", done.stdout, re.MULTILINE), [str(2 * len(entry.Data)) for entry in entries])
            self.assertEqual(done.stderr, "decoder stderr: bye\n")
            done = utl("dump-logs", source, *window, "--stream-decoder", f"{script} bad", check=True)
            self.assertIn("\tdecoder output format is not right, print output anyway\t", done.stdout)
            done = utl("dump-logs", source, *window, "--stream-decoder", f"{script} many", check=True)
            self.assertIn("\tA(*WARNING: data might contain deliminator used by etcd-dump-logs)\tBC\n", done.stdout)
            self.assertEqual(utl("dump-logs", source, "--stream-decoder", "/nonexistent").returncode, 1)
            self.assertEqual(utl("dump-logs", source, "--stream-decoder", "false").returncode, 1)


class Help(Case):
    def test_every_command_has_help(self):
        text = utl("--help", check=True).stdout
        for name in ("snapshot", "hashkv", "defrag", "migrate", "dump-db", "dump-logs", "export", "verify", "version", "completion"):
            self.assertRegex(text, rf"(?m)^  {name} ")
            self.assertIn("Usage:\n  martletutl", utl(name, "--help", check=True).stdout)
        self.assertEqual(utl("version").stdout, "etcdutl version: 3.7.1\nAPI version: 3.7\n")
        for shell in ("bash", "zsh"):
            script = utl("completion", shell, check=True).stdout
            if shutil.which(shell):
                run([shell, "-n"], input=script, check=True)
        self.assertEqual(utl("frob").returncode, 1)
        self.assertIn('Error: unknown command "frob" for "martletutl"', utl("frob").stderr)

    def test_start(self):
        """Small in memory, whatever the machine's speed."""
        with tempfile.TemporaryDirectory() as directory, Server() as server, Client(server.address) as client:
            client.put(b"a", b"b")
            path = pathlib.Path(directory) / "s"
            path.write_bytes(snapshot_bytes(client))
            script = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
            done = run(["python3", "-c", script, tool(), "snapshot", "status", str(path)], check=True)
            self.assertLess(int(done.stdout), 25 * 1024)
