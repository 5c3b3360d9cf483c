"""Kubernetes API servers on the store: a current storage layer (test-apiserver, 1.36) and a complete old
server (kube-apiserver, 1.20), driven with kubectl and over HTTP; what they store compared with real etcd."""

import collections
import http.client
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

from harness import peers
from harness.case import Case, run
from harness.client import Client, prefix_end
from harness.server import Server, free_port

SCRIPT = peers.REPOSITORY / "scripts/peers/run-test-apiserver.sh"


class ApiServer:
    """One of the two API servers on a store."""

    def __init__(self, endpoint, work, port, kube, *flags):
        self.work, self.port = pathlib.Path(work), port
        command = [str(SCRIPT), *(["--kube"] if kube else []), endpoint, str(peers.PEERS), str(work), str(port), *flags]
        env = {"PATH": os.environ["PATH"], "HOME": str(work)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            error = self.process.stderr.read()
            self.process.wait()
            raise AssertionError(f"the API server did not start: {line}{error}")
        self.context = ssl.create_default_context(cafile=str(self.work / "apiserver.crt"))
        self.context.check_hostname = False

    def kubectl(self, *arguments, input=None, check=True, timeout=60):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.work), "KUBECONFIG": str(self.work / "kubeconfig"),
               "KUBECACHEDIR": str(self.work / "kubectl-cache")}
        return run([peers.kubectl(), *arguments], env=env, input=input, check=check, timeout=timeout)

    def request(self, method, path, body=None, content="application/json", timeout=30):
        """(status, object) of one HTTP request on a connection of its own."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=timeout)
        try:
            headers = {"Authorization": "Bearer anyone", "Accept": "application/json"}
            if body is not None:
                headers["Content-Type"] = content
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def watch(self, path, timeout=30, **query):
        """Yields the events of a watch until the server ends it."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=timeout)
        try:
            query = {"watch": "1", **query}
            connection.request("GET", f"{path}?{urllib.parse.urlencode(query)}", headers={"Authorization": "Bearer anyone"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise AssertionError(f"watch: {answer.status} {answer.read()[:500]}")
            while line := answer.readline():
                yield json.loads(line)
        finally:
            connection.close()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.stdout.close()
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# Values, made comparable: uids and times become zero wherever they stand.

UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
JSON_TIME = re.compile(rb'"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"')


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError


def fields(data):
    """The fields of a protobuf message, or None when these bytes are no message."""
    at, found = 0, []
    try:
        while at < len(data):
            tag, at = _varint(data, at)
            number, kind = tag >> 3, tag & 7
            if number == 0:
                return None
            if kind == 0:
                value, at = _varint(data, at)
            elif kind == 2:
                size, at = _varint(data, at)
                if at + size > len(data):
                    return None
                value, at = data[at:at + size], at + size
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
                if at + size > len(data):
                    return None
                value, at = data[at:at + size], at + size
            else:
                return None
            found.append((number, kind, value))
    except (IndexError, ValueError):
        return None
    return found


def without_times(data):
    """A nested tuple of a message's fields in which seconds near now are 0."""
    found = fields(data)
    if not found:
        return data
    out = []
    for number, kind, value in found:
        if kind == 0 and abs(value - time.time()) < 86400:
            value = 0
        elif kind == 2:
            value = without_times(value)
        out.append((number, kind, value))
    # Who owns which field (17 of an object's metadata) is in order of time, to the second.
    owners = sorted((f for f in out if f[0] == 17), key=repr)
    return tuple(f for f in out if f[0] != 17) + tuple(owners)


def comparable(value):
    value = JSON_TIME.sub(b'"T"', UUID.sub(b"U" * 36, value))
    if value.startswith(b"k8s\0"):
        return without_times(value[4:])
    if value[:1] == b"{":
        value = json.loads(value)
        value.get("metadata", {}).get("managedFields", []).sort(key=json.dumps)
        return value
    return value


def stored(store, prefix=b"/registry/"):
    with Client(store.address) as client:
        return {kv.key: kv for kv in client.range(prefix, prefix_end(prefix)).kvs}


CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets, singular: widget, shortNames: [wd]}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {size: {type: integer}, color: {type: string}}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
    subresources: {status: {}}
"""


def widget(i, namespace="e2e"):
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": f"w{i:03d}", "namespace": namespace},
            "spec": {"size": i, "color": "red" if i % 2 else "blue"}}


def config_map(name, data, namespace="e2e", **metadata):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace, **metadata}, "data": data}


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: e2e, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "example.com/web:1"}]}
"""


class Both:
    """The tests, for either server."""

    KUBE = False

    @classmethod
    def setUpClass(cls):
        if not (peers.PEERS / f"bin/{'kube' if cls.KUBE else 'test'}-apiserver").exists():
            raise unittest.SkipTest("this API server is not in the cache (scripts/test --kubernetes builds it)")

    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="martlet-kube-"))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        self.port = free_port()

    def serve(self, store, *flags):
        return ApiServer(store.url, self.work, self.port, self.KUBE, *flags)

    def everyday(self, api):
        """What a user does, the same each time: leaves objects behind for the comparison."""
        k = api.kubectl
        k("create", "namespace", "e2e")
        k("create", "namespace", "other")
        k("apply", "-f", "-", input=CRD)
        k("wait", "--for=condition=established", "--timeout=30s", "crd/widgets.example.com")
        self.wait_until(lambda: k("get", "widgets", "-n", "e2e", check=False).returncode == 0)
        k("create", "-f", "-", input="\n---\n".join(json.dumps(widget(i)) for i in range(25)))
        k("create", "configmap", "one", "-n", "e2e", "--from-literal=a=1", "--from-literal=b=2")
        k("create", "secret", "generic", "hidden", "-n", "e2e", "--from-literal=password=secret")
        k("apply", "-f", "-", input=DEPLOYMENT)
        k("label", "configmap", "one", "-n", "e2e", "tier=gold")
        k("patch", "configmap", "one", "-n", "e2e", "--type=merge", "-p", '{"data":{"b":null,"c":"3"}}')
        k("patch", "configmap", "one", "-n", "e2e", "--type=json", "-p", '[{"op":"add","path":"/data/d","value":"4"}]')
        k("patch", "widget", "w003", "-n", "e2e", "--type=merge", "-p", '{"spec":{"size":42}}')
        k("annotate", "widget", "w004", "-n", "e2e", "note=there")
        k("scale", "deployment", "web", "-n", "e2e", "--replicas=5") if self.KUBE else \
            k("patch", "deployment", "web", "-n", "e2e", "--type=merge", "-p", '{"spec":{"replicas":5}}')
        k("create", "-f", "-", input=json.dumps(config_map("big", {"x": "y" * 500_000})))
        for i in range(12):
            k("create", "configmap", f"page{i:02d}", "-n", "other", f"--from-literal=i={i}") if i == 0 else \
                self.assertEqual(api.request("POST", "/api/v1/namespaces/other/configmaps", config_map(f"page{i:02d}", {"i": str(i)}, "other"))[0], 201)
        k("delete", "widget", "w005", "w006", "-n", "e2e")
        k("delete", "configmap", "page03", "-n", "other")
        self.assertEqual(k("get", "configmap", "one", "-n", "e2e", "-o", "jsonpath={.data}").stdout, '{"a":"1","c":"3","d":"4"}')
        self.assertEqual(k("get", "widget", "w003", "-n", "e2e", "-o", "jsonpath={.spec.size}").stdout, "42")
        self.assertEqual(k("get", "deployment", "web", "-n", "e2e", "-o", "jsonpath={.spec.replicas}").stdout, "5")
        self.assertEqual(len(k("get", "widgets", "-n", "e2e", "-o", "name").stdout.split()), 23)
        self.assertEqual(len(k("get", "widgets", "-n", "e2e", "-o", "name", "--chunk-size=4").stdout.split()), 23)
        names = lambda out: [n.split("/")[1] for n in out.split()]
        self.assertEqual(names(k("get", "configmaps", "-n", "e2e", "-l", "tier=gold", "-o", "name").stdout), ["one"])
        self.assertIn("NotFound", k("get", "widget", "w005", "-n", "e2e", check=False).stderr)
        self.assertIn("AlreadyExists", k("create", "namespace", "e2e", check=False).stderr)

    def wait_until(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, "waited in vain")
            time.sleep(0.2)

    # The tests.

    def test_stored_keys_and_values_are_those_of_etcd(self):
        if not peers.etcd():
            self.skipTest("no real etcd in the cache")
        found = []
        for binary in (peers.server(), peers.etcd()):
            with Server(binary=binary) as store:
                with self.serve(store) as api:
                    self.everyday(api)
                found.append(stored(store))
        ours, real = found
        # Each server instance keeps leases on itself under names of its own.
        own = re.compile(rb"^/registry/(masterleases|peerserverleases|leases/kube-system)/")
        keys = [{k for k in side if not own.match(k)} for side in found]
        self.assertEqual(keys[0], keys[1])
        mine = re.compile(rb"/(e2e|other)(/|$)")
        for key in sorted(keys[0]):
            self.assertEqual(comparable(ours[key].value), comparable(real[key].value), key)
            if mine.search(key):
                self.assertEqual(ours[key].version, real[key].version, key)

    def test_pages(self):
        with Server() as store, self.serve(store) as api:
            api.kubectl("create", "namespace", "e2e")
            for i in range(57):
                self.assertEqual(api.request("POST", "/api/v1/namespaces/e2e/configmaps", config_map(f"c{i:03d}", {"i": str(i)}))[0], 201)
            path, names, versions = "/api/v1/namespaces/e2e/configmaps?limit=10", [], set()
            token, pages = "", 0
            while True:
                status, page = api.request("GET", path + (f"&continue={token}" if token else ""))
                self.assertEqual(status, 200)
                pages += 1
                names += [o["metadata"]["name"] for o in page["items"] if o["metadata"]["name"].startswith("c0")]
                versions.add(page["metadata"]["resourceVersion"])
                token = page["metadata"].get("continue", "")
                if pages == 2:
                    # What happens between the pages is not seen: they are of one revision.
                    api.request("POST", "/api/v1/namespaces/e2e/configmaps", config_map("c030x", {}))
                    api.request("DELETE", "/api/v1/namespaces/e2e/configmaps/c050")
                if not token:
                    break
            self.assertEqual(names, [f"c{i:03d}" for i in range(57)])
            self.assertEqual(len(versions), 1)

    def test_watch_follows(self):
        with Server() as store, self.serve(store) as api:
            api.kubectl("create", "namespace", "e2e")
            _, listed = api.request("GET", "/api/v1/namespaces/e2e/configmaps")
            version = listed["metadata"]["resourceVersion"]
            for name in ("a", "b"):
                api.request("POST", "/api/v1/namespaces/e2e/configmaps", config_map(name, {"n": "1"}))
            events = api.watch("/api/v1/namespaces/e2e/configmaps", resourceVersion=version, timeoutSeconds=60)
            got = [next(events) for _ in range(2)]
            api.request("PATCH", "/api/v1/namespaces/e2e/configmaps/a", {"data": {"n": "2"}}, "application/merge-patch+json")
            api.request("DELETE", "/api/v1/namespaces/e2e/configmaps/b")
            got += [next(events) for _ in range(2)]
            events.close()  # The API server waits for its watches when it stops.
            self.assertEqual([(e["type"], e["object"]["metadata"]["name"], e["object"]["data"]["n"]) for e in got],
                             [("ADDED", "a", "1"), ("ADDED", "b", "1"), ("MODIFIED", "a", "2"), ("DELETED", "b", "1")])
            versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in got]
            self.assertEqual(versions, sorted(set(versions)))

    def test_too_old_and_too_new(self):
        with Server() as store, self.serve(store, "--etcd-compaction-interval=2s") as api:
            api.kubectl("create", "namespace", "e2e")
            status, answer = api.request("GET", "/api/v1/namespaces/e2e/configmaps?resourceVersion=1&resourceVersionMatch=Exact&limit=5")
            if self.KUBE:
                self.wait_until(lambda: api.request("GET", "/api/v1/namespaces/e2e/configmaps?resourceVersion=2&resourceVersionMatch=Exact&limit=5")[0] == 410, 40)
            else:
                def gone():
                    api.request("POST", "/api/v1/namespaces/e2e/configmaps", config_map(f"n{time.monotonic_ns()}", {}))
                    return api.request("GET", "/api/v1/namespaces/e2e/configmaps?resourceVersion=2&resourceVersionMatch=Exact&limit=5")[0] == 410
                self.wait_until(gone, 40)
            status, answer = api.request("GET", "/api/v1/namespaces/e2e/configmaps?resourceVersion=999999999&resourceVersionMatch=NotOlderThan")
            self.assertEqual((status, answer["details"]["causes"][0]["reason"]), (504, "ResourceVersionTooLarge"))

    def test_events_expire(self):
        if self.KUBE:
            flags = ("--event-ttl=2s",)
        else:
            flags = ("--event-ttl-seconds=2",)
        with Server() as store, self.serve(store, *flags) as api:
            api.kubectl("create", "namespace", "e2e")
            event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "ev", "namespace": "e2e"},
                     "involvedObject": {"kind": "Pod", "namespace": "e2e", "name": "p"}, "reason": "Testing", "type": "Normal"}
            self.assertEqual(api.request("POST", "/api/v1/namespaces/e2e/events", event)[0], 201)
            events = api.watch("/api/v1/namespaces/e2e/events", resourceVersion="0", timeoutSeconds=60, timeout=60)
            self.assertEqual([next(events)["type"] for _ in range(2)], ["ADDED", "DELETED"])
            events.close()
            self.assertEqual(api.request("GET", "/api/v1/namespaces/e2e/events/ev")[0], 404)

    def test_namespace_goes_with_all_that_is_in_it(self):
        """As the namespace controller does it, which no API server contains: contents first, then the finalizer."""
        with Server() as store, self.serve(store) as api:
            for name in ("e2e", "stays"):
                api.kubectl("create", "namespace", name)
                for i in range(5):
                    api.request("POST", f"/api/v1/namespaces/{name}/configmaps", config_map(f"c{i}", {}, name))
                    api.request("POST", f"/api/v1/namespaces/{name}/secrets",
                                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{i}"}, "stringData": {"a": "b"}})
            if self.KUBE:
                self.assertEqual(api.request("DELETE", "/api/v1/namespaces/e2e")[0], 200)
                self.assertEqual(api.request("GET", "/api/v1/namespaces/e2e")[1]["status"]["phase"], "Terminating")
                self.assertEqual(api.request("POST", "/api/v1/namespaces/e2e/configmaps", config_map("late", {}))[0], 403)
            for kind in ("configmaps", "secrets"):
                self.assertEqual(api.request("DELETE", f"/api/v1/namespaces/e2e/{kind}")[0], 200)
            if self.KUBE:
                status, namespace = api.request("GET", "/api/v1/namespaces/e2e")
                namespace["spec"]["finalizers"] = []
                self.assertEqual(api.request("PUT", "/api/v1/namespaces/e2e/finalize", namespace)[0], 200)
            else:
                api.kubectl("delete", "namespace", "e2e")
            self.wait_until(lambda: api.request("GET", "/api/v1/namespaces/e2e")[0] == 404)
            left = [k for k in stored(store) if b"/e2e" in k]
            self.assertEqual(left, [])
            self.assertEqual(len([k for k in stored(store) if b"/stays/" in k and b"/kube-root" not in k]), 10)

    def test_store_restarted_and_killed_under_load(self):
        """Writers and watchers go on over restarts and kill -9 of the store; nothing acknowledged is lost, and a
        watch that is resumed where it broke off sees every change once and in order."""
        with Server() as store, self.serve(store) as api:
            api.kubectl("create", "namespace", "e2e")
            _, listed = api.request("GET", "/api/v1/namespaces/e2e/configmaps")
            stop = threading.Event()
            writers = [Writer(api, n, stop) for n in range(4)]
            watchers = [Watcher(api, listed["metadata"]["resourceVersion"], stop) for _ in range(2)]
            for thread in (*writers, *watchers):
                thread.start()
            try:
                for end in (store.kill, store.stop, store.kill, store.kill):
                    time.sleep(2.5)
                    end()
                    store.start()
                time.sleep(3)
            finally:
                stop.set()
                for thread in writers:
                    thread.join(60)
            for writer in writers:
                self.assertEqual(writer.errors, [])
                self.assertGreater(writer.acked, 10)
            status, listed = api.request("GET", "/api/v1/namespaces/e2e/configmaps")
            self.assertEqual(status, 200)
            have = {o["metadata"]["name"]: o for o in listed["items"] if o["metadata"]["name"].startswith("load")}
            expected = {}
            for writer in writers:
                expected.update(writer.state)
            self.assertEqual({n: o["data"]["n"] for n, o in have.items()}, expected)
            last = int(listed["metadata"]["resourceVersion"])
            for watcher in watchers:
                watcher.until(last, have, self)
                watcher.join(30)
                self.assertEqual(watcher.errors, [])
            for writer in writers:
                for watcher in watchers:
                    seen = watcher.seen
                    for name, versions in writer.versions.items():
                        self.assertLessEqual(versions, seen[name], f"{name}: acknowledged but not watched")
            # The store itself has what the API server shows.
            keys = {k.rsplit(b"/", 1)[1].decode() for k in stored(store, b"/registry/configmaps/e2e/load")}
            self.assertEqual(keys, set(expected))


class Writer(threading.Thread):
    """Creates, changes and deletes objects of its own; after an error it reads how things stand."""

    def __init__(self, api, number, stop):
        super().__init__(daemon=True)
        self.api, self.number, self.stop_event = api, number, stop
        self.state, self.versions, self.errors, self.acked = {}, collections.defaultdict(set), [], 0

    def run(self):
        try:
            step = 0
            while not self.stop_event.is_set():
                step += 1
                name = f"load-{self.number}-{step % 20}"
                self.change(name, step)
        except Exception as error:
            self.errors.append(repr(error))

    def change(self, name, step):
        base = "/api/v1/namespaces/e2e/configmaps"
        if name not in self.state:
            want, call = str(step), ("POST", base, config_map(name, {"n": str(step)}))
        elif step % 7 == 0:
            want, call = None, ("DELETE", f"{base}/{name}")
        else:
            want, call = str(step), ("PATCH", f"{base}/{name}", {"data": {"n": str(step)}}, "application/merge-patch+json")
        try:
            status, answer = self.api.request(*call)
        except OSError:
            status, answer = 0, {}
        if status in (200, 201):
            self.acked += 1
            version = answer.get("metadata", {}).get("resourceVersion")
            if version and want is not None:
                self.versions[name].add(int(version))
        else:
            want = self.look(name)
        if want is None:
            self.state.pop(name, None)
        else:
            self.state[name] = want

    def look(self, name):
        """What an unanswered change came to. The reading goes to the store, and waits until it answers."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                status, answer = self.api.request("GET", f"/api/v1/namespaces/e2e/configmaps/{name}")
            except OSError:
                status = 0
            if status == 200:
                return answer["data"]["n"]
            if status == 404:
                return None
            time.sleep(0.2)
        raise AssertionError("the API server does not recover")


class Watcher(threading.Thread):
    """Follows the objects as a reflector does: goes on from the last version it saw whenever a watch ends."""

    def __init__(self, api, version, stop):
        super().__init__(daemon=True)
        self.api, self.version, self.stop_event = api, int(version), stop
        self.seen, self.state, self.errors, self.restarts = collections.defaultdict(set), {}, [], 0
        self.last = None

    def run(self):
        while self.last is None or self.version < self.last:
            try:
                for event in self.api.watch("/api/v1/namespaces/e2e/configmaps", resourceVersion=self.version,
                                            timeoutSeconds=5, allowWatchBookmarks="true"):
                    self.take(event)
                    if self.last is not None and self.version >= self.last:
                        return
            except OSError:
                pass
            except Exception as error:
                if "500" not in repr(error) and "429" not in repr(error) and "503" not in repr(error) and "504" not in repr(error):
                    self.errors.append(repr(error))
                    return
                time.sleep(0.2)
            self.restarts += 1
            if self.stop_event.is_set() and self.last is None:
                time.sleep(0.1)

    def take(self, event):
        if event["type"] == "ERROR":
            self.errors.append(json.dumps(event["object"])[:500])
            raise OSError
        meta = event["object"]["metadata"]
        version = int(meta["resourceVersion"])
        if event["type"] == "BOOKMARK":
            self.version = max(self.version, version)
            return
        if version <= self.version:
            self.errors.append(f"{event['type']} {meta['name']} at {version} after {self.version}")
        self.version = version
        name = meta["name"]
        if event["type"] == "DELETED":
            self.state.pop(name, None)
        else:
            self.seen[name].add(version)
            self.state[name] = event["object"]["data"]["n"] if "data" in event["object"] else None

    def until(self, last, have, case):
        """Lets the thread end when it has seen everything up to the version of the last change to these objects."""
        self.last = max([int(o["metadata"]["resourceVersion"]) for o in have.values()], default=0)
        case.wait_until(lambda: not self.is_alive() or self.version >= self.last, 60)


MANIFESTS = peers.REPOSITORY / "manifests/kubernetes"


def monitoring_kinds():
    """Definitions of what manifests/kubernetes has of Prometheus' operator, as far as it is used there."""
    text, label = {"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}

    def thing(required, **properties):
        return {"type": "object", "required": required, "properties": properties}

    def listed(item):
        return {"type": "array", "items": item}
    endpoint = thing(["port"], port=text, interval={"type": "string", "pattern": "^[0-9]+(ms|s|m)$"},
                     relabelings=listed(thing([], targetLabel=text, replacement=text, sourceLabels=listed(text))))
    selector = thing([], matchLabels=label)
    rule = thing(["alert", "expr"], alert=text, expr=text, labels=label, annotations=label, **{"for": text})
    specs = {"PodMonitor": thing(["selector", "podMetricsEndpoints"], selector=selector, podMetricsEndpoints=listed(endpoint)),
             "ServiceMonitor": thing(["selector", "endpoints"], selector=selector, endpoints=listed(endpoint)),
             "PrometheusRule": thing(["groups"], groups=listed(thing(["name", "rules"], name=text, rules=listed(rule))))}
    return [{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
             "metadata": {"name": f"{kind.lower()}s.monitoring.coreos.com"},
             "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced",
                      "names": {"kind": kind, "listKind": f"{kind}List", "plural": f"{kind.lower()}s", "singular": kind.lower()},
                      "versions": [{"name": "v1", "served": True, "storage": True,
                                    "schema": {"openAPIV3Schema": thing(["spec"], spec=spec)}}]}} for kind, spec in specs.items()]


def documents(path):
    """The documents of a file, each as text."""
    return [part for part in re.split(r"^---$", path.read_text(), flags=re.MULTILINE) if part.strip()]


def dry_run(api, text, check=True):
    return api.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=text, check=check)


class Current(Both, Case):
    """test-apiserver: the storage layer and watch cache of 1.36."""

    def test_manifests(self):
        """The repository's manifests, by an API server that refuses unknown fields."""
        with Server() as store, self.serve(store) as api:
            for name in ("martlet", "kube-system"):
                api.kubectl("create", "namespace", name, check=False)
            api.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": monitoring_kinds()}))
            api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=20s")
            accepted = 0
            for path in sorted(MANIFESTS.glob("*.yaml")):
                for text in documents(path):
                    if "kind: PodDisruptionBudget" not in text:
                        dry_run(api, text)
                        accepted += 1
            self.assertEqual(accepted, 8)
            bad = dry_run(api, (MANIFESTS / "static-pod.yaml").read_text().replace("hostNetwork:", "hostNetwurk:"), check=False)
            self.assertNotEqual(bad.returncode, 0)
            self.assertIn("hostNetwurk", bad.stderr)

    def test_streamed_list(self):
        """A watch that begins with the list (sendInitialEvents): the store has to tell its progress for it."""
        with Server() as store, self.serve(store) as api:
            api.kubectl("create", "namespace", "e2e")
            for i in range(30):
                api.request("POST", "/api/v1/namespaces/e2e/configmaps", config_map(f"c{i:02d}", {}))
            started = time.monotonic()
            names = []
            events = api.watch("/api/v1/namespaces/e2e/configmaps", sendInitialEvents="true", allowWatchBookmarks="true",
                               resourceVersionMatch="NotOlderThan", timeoutSeconds=30)
            for event in events:
                if event["type"] == "BOOKMARK" and event["object"]["metadata"].get("annotations", {}).get("k8s.io/initial-events-end"):
                    break
                names.append(event["object"]["metadata"]["name"])
            events.close()
            self.assertEqual(names, [f"c{i:02d}" for i in range(30)])
            self.assertLess(time.monotonic() - started, 10)

    def test_consistent_list_from_the_cache(self):
        """Each list right after a write has to show it: the API server asks the store for progress."""
        with Server() as store, self.serve(store) as api:
            api.kubectl("create", "namespace", "e2e")
            for i in range(20):
                api.request("POST", "/api/v1/namespaces/e2e/configmaps", config_map(f"c{i:02d}", {}))
                status, listed = api.request("GET", "/api/v1/namespaces/e2e/configmaps")
                self.assertEqual((status, len(listed["items"])), (200, i + 1))

    def test_store_holds_what_the_cache_shows_after_a_restart_of_both(self):
        with Server() as store:
            with self.serve(store) as api:
                self.everyday(api)
                before = api.kubectl("get", "widgets,configmaps,deployments,namespaces", "-A", "-o", "json").stdout
            store.restart()
            with self.serve(store) as api:
                after = api.kubectl("get", "widgets,configmaps,deployments,namespaces", "-A", "-o", "json").stdout
            self.assertEqual(json.loads(after)["items"], json.loads(before)["items"])


class Complete(Both, Case):
    """kube-apiserver 1.20: every kind with defaults, validation, admission and allocation."""

    KUBE = True

    def test_every_day_objects(self):
        with Server() as store, self.serve(store) as api:
            self.everyday(api)
            k = api.kubectl
            k("create", "service", "clusterip", "svc", "--tcp=80:8080", "-n", "e2e")
            k("create", "service", "nodeport", "np", "--tcp=80:8080", "-n", "e2e")
            self.assertRegex(k("get", "service", "svc", "-n", "e2e", "-o", "jsonpath={.spec.clusterIP}").stdout, r"^10\.0\.0\.\d+$")
            k("create", "job", "once", "--image=example.com/job", "-n", "e2e")
            k("create", "role", "reader", "--verb=get", "--resource=pods", "-n", "e2e")
            k("create", "serviceaccount", "robot", "-n", "e2e")
            self.assertIn("Invalid", k("create", "configmap", "Not_A_Name", "-n", "e2e", check=False).stderr)
            k("delete", "service", "svc", "np", "-n", "e2e")
            # The manifests, with what a complete server fills in and checks; policy/v1 came with the next version.
            k("create", "namespace", "martlet")
            for name in ("static-pod.yaml", "statefulset.yaml"):
                for text in documents(MANIFESTS / name):
                    k("apply", "--dry-run=server", "-f", "-", input=text.replace("policy/v1", "policy/v1beta1"))


