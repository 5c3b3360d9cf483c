"""The JSON gateway: every route beside a real etcd that gets the same requests, streams by HTTP/1.1, HTTP/2 and WebSocket, limits."""

import base64
import gzip
import hashlib
import http.client
import json
import re
import os
import select
import socket
import ssl
import subprocess
import time
import unittest

import h2.config
import h2.connection
import h2.events
import websocket

from harness import api, gateway, peers
from harness.case import Case, SharedServer, run
from harness.client import Client
from harness.gateway import ROUTES, Conversation, Gateway, RandomJSON, b64, parse, plain
from harness.server import Server
from suites.tls import SecureServer, certificates

SEED = int(os.environ.get("MARTLET_SEED", "1"))
STEPS = int(os.environ.get("MARTLET_STEPS", "1800"))
STATUS_OWN = {"version", "dbSize", "dbSizeInUse", "leader", "raftIndex", "raftAppliedIndex", "storageVersion", "dbSizeQuota", "downgradeInfo"}


def normalized(value, method=None, name=None):
    """What two servers must agree on: without the identities, sizes and clocks of one of them."""
    if isinstance(value, gateway.Pairs):
        if name == "header":
            return gateway.Pairs((n, v) for n, v in value if n == "revision")
        own = {"Maintenance.Status": STATUS_OWN | {"raftTerm"}, "Lease.LeaseTimeToLive": {"TTL"}, "Maintenance.HashKV": {"hash_revision"},
               "Maintenance.Hash": {"hash"}, "Auth.Authenticate": {"token"}}.get(method, ())
        return gateway.Pairs((n, normalized(v, method, n)) for n, v in value if n not in own)
    if isinstance(value, list):
        elements = [normalized(v, method) for v in value]
        return sorted(elements) if name in ("leases", "keys") else elements
    if name == "ID" and method in ("Lease.LeaseGrant", "Lease.LeaseLeases") and len(value) > 6:
        return "chosen by the server"
    if name == "message":
        # Go's protobuf spells this space differently from build to build.
        return value.replace("\u00a0", " ")
    return value


def comparable(answer, method=None):
    try:
        # A stream is a line of JSON after the other.
        body = [normalized(parse(line), method) for line in answer.body.split(b"\n") if line]
    except ValueError:
        body = answer.body
    headers = {name: answer.headers.get(name) for name in ("content-type", "grpc-metadata-content-type", "www-authenticate", "location")}
    return answer.status, headers, body


class SideBySide(Case):
    """The same requests to the server under test and to real etcd."""

    @classmethod
    def setUpClass(cls):
        if not peers.etcd():
            raise unittest.SkipTest("no real etcd")
        cls.server = Server().start()
        cls.addClassCleanup(cls.server.close)
        cls.etcd = Server(binary=peers.etcd()).start()
        cls.addClassCleanup(cls.etcd.close)

    def setUp(self):
        self.ours, self.theirs = Gateway(self.server.address), Gateway(self.etcd.address)
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)

    def both(self, path, body="", label=None, **options):
        """Asks both and compares; answers ours."""
        ours, theirs = self.ours.request(path, body, **options), self.theirs.request(path, body, **options)
        method = gateway.PATHS.get(path)
        self.assertEqual(comparable(ours, method), comparable(theirs, method), f"{label or ''} {path} {body!r} {options}: {ours} / {theirs}")
        return ours

    def ask(self, method, _headers=(), **message):
        return self.both(ROUTES[method], json.dumps(message), headers=_headers)


class Differential(SideBySide):
    #: What a random request may do without changing what later ones mean on one of the servers only.
    METHODS = (["KV.Range"] * 6 + ["KV.Put"] * 8 + ["KV.DeleteRange"] * 2 + ["KV.Txn"] * 8 + ["KV.Compact", "Lease.LeaseGrant", "Lease.LeaseGrant",
               "Lease.LeaseRevoke", "Lease.LeaseTimeToLive", "Lease.LeaseLeases", "Maintenance.Status",
               "Maintenance.HashKV", "Auth.AuthStatus", "Auth.UserAdd", "Auth.UserGet", "Auth.UserList", "Auth.UserDelete",
               "Auth.UserGrantRole", "Auth.UserRevokeRole", "Auth.RoleAdd", "Auth.RoleGet", "Auth.RoleList", "Auth.RoleDelete",
               "Auth.RoleGrantPermission", "Auth.RoleRevokePermission", "Auth.Authenticate", "Lock.Unlock", "Election.Leader",
               "Lease.LeaseKeepAlive"])

    @staticmethod
    def fixed(make):
        """Fields whose free choice would show how versions differ rather than how the gateways do, see docs/testing.md."""
        def choose(descriptor, field):
            name = f"{descriptor.name}.{field.name}"
            if name == "RangeRequest.keys_only":
                return "false"
            if name == "RangeRequest.revision":
                return make.choice(["0", "0", "0", '"1"', "2"])
            if name in ("RangeRequest.sort_order", "RangeRequest.sort_target", "Compare.result", "Compare.target"):
                return make.choice([json.dumps(make.choice(field.enum_type.values).name), "0", "1"])
            if name == "PutRequest.lease":
                return make.choice(["0", "0", "0", "77"])
            if name == "CompactionRequest.revision":
                return make.choice(["1", "2", '"3"', "100000"])
            if name in ("LeaseGrantRequest.ID", "LeaseRevokeRequest.ID", "LeaseTimeToLiveRequest.ID", "LeaseKeepAliveRequest.ID"):
                return make.choice(["71", '"72"', "73", "74", "75"])
            if name == "AuthRoleGetRequest.role":
                # Of the role root 3.5 shows no permission.
                return make.choice(['"user"', '"a"', '""'])
            if name == "LeaseGrantRequest.TTL":
                return make.choice(["1000", '"2000"', "9000000001"])
            if name == "HashKVRequest.revision":
                return make.choice(["0", "0", "1000000"])
            if name in ("AuthUserAddRequest.hashedPassword", "AuthUserChangePasswordRequest.hashedPassword"):
                return '""'
            return None
        return choose

    def test_random_requests(self):
        make = RandomJSON(SEED)
        fixed = self.fixed(make)
        statuses = {}
        for step in range(STEPS):
            method = make.choice(self.METHODS)
            text = make.text(api.METHODS[method].request.DESCRIPTOR, fixed)
            if method == "KV.Txn" and '"lease":77' in text.replace(" ", "").replace("\n", ""):
                # A lease that does not exist, inside a transaction: versions differ.
                continue
            answer = self.both(ROUTES[method], text, label=f"seed {SEED} step {step}")
            if method == "Lease.LeaseGrant" and answer.status == 200 and int(answer.json()["TTL"]) < 500:
                # Its end would come at another step in each server.
                for side in (self.ours, self.theirs):
                    side.post("/v3/lease/revoke", {"ID": answer.json()["ID"]})
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
        # The generator must neither only succeed nor only fail.
        self.assertGreater(statuses.get(200, 0), STEPS // 5, statuses)
        self.assertGreater(statuses.get(400, 0), STEPS // 10, statuses)

    def test_mapping(self):
        """Each way to write a value, in a request whose answer shows what was understood."""
        for text in RandomJSON.BASE64 + RandomJSON.ODD_VALUES + ["5", "true"]:
            self.both("/v3/kv/put", '{"key":%s,"value":"dg=="}' % text)
            self.both("/v3/kv/put", '{"key":"eA==","value":%s}' % text)
            self.both("/v3/kv/range", '{"key":"eA=="}')
        numbers = [str(n) for n in RandomJSON.NUMBERS] + [f'"{n}"' for n in RandomJSON.NUMBERS] + RandomJSON.NUMBER_TEXTS
        for text in numbers + RandomJSON.STRING_NUMBERS + RandomJSON.ODD_VALUES:
            self.both("/v3/kv/range", '{"key":"AA==","range_end":"AA==","limit":%s}' % text)
            self.both("/v3/cluster/member/remove", '{"ID":%s}' % text)
            self.both("/v3/auth/role/grant", '{"name":"nobody","perm":{"permType":%s,"key":"YQ=="}}' % text)
            self.both("/v3/kv/range", '{"key":"AA==","count_only":%s}' % text)
            self.both("/v3/auth/user/get", '{"name":%s}' % text)
            self.both("/v3/kv/txn", '{"compare":%s}' % text)
            self.both("/v3/kv/txn", '{"success":[{"request_range":%s}]}' % text)
            self.both("/v3/kv/txn", '{"compare":[{"key":"eA==","target":"VERSION","version":%s}],"success":[{"request_range":{"key":"eA=="}}]}' % text)

    def test_broken_texts(self):
        safe = [text for text in RandomJSON.BROKEN if text.strip() and not text.startswith("{}")]
        for path in gateway.PATHS:
            if path == "/v3/watch":
                continue  # etcd never answers these
            for text in safe if path in ("/v3/kv/range", "/v3/lease/keepalive") else safe[::9]:
                self.both(path, text)
        for text in RandomJSON.BROKEN:
            self.both("/v3/kv/range", text)
            self.both("/v3/kv/range", '{"key":"YQ==","bogus":%s}' % text)
            self.both("/v3/kv/range", '{"key":"YQ==","range_end":"YQ==", %s}' % text)

    def test_bytes(self):
        """Every byte where a value, a name's character, an escape could stand."""
        for byte in range(256):
            for before, after in ((b"", b""), (b"{", b""), (b'{"key":"YQ=="', b"}"), (b'{"key":"', b'"}'), (b'{"key":"\\', b'"}'), (b"[1", b"]"),
                                  (b'{"a', b'":1}'), (b'{"key":n', b"ull}")):
                self.both("/v3/kv/range", before + bytes([byte]) + after)
        for body in (b'{"\xed\xa0\x80":1}', b'{"key":"\xc3"}', b'{"key":"\xf4\x90\x80\x80"}', b'{"bogus":"\xff"}', b'{"bogus":{"a":["\xc0\xaf"]}}',
                     b'\xef\xbb\xbf{}', b'{"key":"YQ=="}\x00', b'{"key":\n\n"\xc3\xa9",\n "x":5}', b'{"\xc3\xa9":1,\n"key":5}'):
            self.both("/v3/kv/range", body)

    def test_nesting(self):
        for depth in (10, 127, 128, 129, 9_999, 10_000, 10_001, 100_000):
            self.both("/v3/kv/range", '{"bogus":' + "[" * (depth - 1) + "]" * (depth - 1) + "}")
            self.both("/v3/kv/range", '{"bogus":' + '{"a":' * (depth - 1) + "1" + "}" * (depth - 1) + "}")
            self.both("/v3/kv/range", "[" * depth)

    def test_nested_transactions(self):
        for depth in (1, 2, 5, 20):
            text = '{"success":[{"request_range":{"key":"eA=="}}]}'
            for _ in range(depth):
                text = '{"success":[{"requestTxn":%s}]}' % text
            self.both("/v3/kv/txn", text)


class Routes(SideBySide):
    def test_every_method(self):
        """A life of a store, by every route that one member can answer alike."""
        for path in ("/v3/kv/put", "/v3beta/kv/put"):
            self.both(path, json.dumps({"key": b64("k1"), "value": b64("v"), "prev_kv": True}))
        self.ask("KV.Put", key=b64("k2"), value=b64(b"\0\xff" * 50))
        self.ask("KV.Range", key=b64("k"), range_end=b64("l"), sort_order="DESCEND", sort_target="KEY")
        self.ask("KV.Range", key=b64("k"), rangeEnd=b64("l"), countOnly=True)
        self.ask("KV.Txn", compare=[{"key": b64("k1"), "target": "VERSION", "result": "GREATER", "version": 1}],
                 success=[{"request_put": {"key": b64("k3"), "value": ""}}, {"request_range": {"key": b64("k3")}},
                          {"request_delete_range": {"key": b64("k2"), "prev_kv": True}}], failure=[{"request_txn": {}}])
        self.ask("KV.DeleteRange", key=b64("k"), range_end=b64("l"), prev_kv=True)
        self.ask("KV.Compact", revision=3, physical=True)
        self.ask("KV.Range", key=b64("k"), revision=2)
        self.ask("KV.Range", key=b64("k"), revision=2000)
        self.ask("Lease.LeaseGrant", TTL=3600, ID=123456789)
        self.ask("Lease.LeaseGrant", TTL=3600, ID=123456789)
        self.ask("KV.Put", key=b64("leased"), lease="123456789")
        self.ask("Lease.LeaseTimeToLive", ID=123456789, keys=True)
        self.both("/v3/kv/lease/timetolive", '{"ID":1}')
        self.ask("Lease.LeaseLeases")
        self.both("/v3/kv/lease/leases")
        self.both("/v3/lease/keepalive", '{"ID":123456789}{"ID":1}\n{"ID":"123456789"}')
        self.ask("Lease.LeaseRevoke", ID=123456789)
        self.both("/v3/kv/lease/revoke", '{"ID":1}')
        self.ask("Maintenance.Status")
        self.ask("Maintenance.Alarm", action="GET")
        self.ask("Maintenance.Alarm", action="ACTIVATE", memberID=1, alarm="NOSPACE")
        self.ask("KV.Put", key=b64("x"))
        self.ask("Maintenance.Alarm", action="DEACTIVATE", memberID=1, alarm="NOSPACE")
        self.ask("Maintenance.Defragment")
        self.ask("Maintenance.HashKV")
        self.ask("Maintenance.MoveLeader", targetID=5)
        self.ask("Maintenance.Downgrade", action="VALIDATE", version="junk")
        for method, message in (("Cluster.MemberRemove", {"ID": 5}), ("Cluster.MemberPromote", {"ID": "5"}),
                                ("Cluster.MemberUpdate", {"ID": 5, "peerURLs": ["http://127.0.0.1:1"]}), ("Cluster.MemberAdd", {"peerURLs": ["junk"]})):
            self.ask(method, **message)

    def shapes(self, method, **message):
        """Both must succeed with the same members, whatever these hold."""
        ours, theirs = (side.post(ROUTES[method], message) for side in (self.ours, self.theirs))
        self.assertEqual((ours.status, theirs.status), (200, 200), f"{ours} {theirs}")
        self.assertEqual([name for name, _ in parse(ours.body) if name != "storageVersion"], [name for name, _ in parse(theirs.body)])
        return ours.json()

    def test_members_and_hash(self):
        member = self.shapes("Cluster.MemberList")["members"][0]
        self.assertEqual((member["name"], member["clientURLs"]), ("default", [self.server.url]))
        self.assertIsInstance(self.shapes("Maintenance.Hash")["hash"], int)

    def test_locks_and_elections(self):
        self.ask("Lease.LeaseGrant", TTL=3600, ID=42)
        lock = self.ask("Lock.Lock", name=b64("mutex"), lease=42).json()
        self.assertEqual(base64.b64decode(lock["key"]), b"mutex/2a")
        self.ask("Lock.Unlock", key=lock["key"])
        leader = self.ask("Election.Campaign", name=b64("vote"), lease=42, value=b64("me")).json()["leader"]
        self.ask("Election.Leader", name=b64("vote"))
        self.ask("Election.Proclaim", leader=leader, value=b64("still me"))
        with Observation(self.server, b64("vote")) as ours, Observation(self.etcd, b64("vote")) as theirs:
            for value in ("one", "two"):
                self.ask("Election.Proclaim", leader=leader, value=b64(value))
                got = [normalized(side.until(value)) for side in (ours, theirs)]
                self.assertEqual(got[0], got[1])
        self.ask("Election.Resign", leader=leader)
        self.ask("Election.Leader", name=b64("vote"))
        self.ask("Lock.Lock", name=b64("mutex"), lease=4711)

    def test_routing(self):
        good = json.dumps({"key": b64("k")})
        for path in ("/v3/kv/bogus", "/v3/", "/v3/kv/range/", "/v3/kv", "/v3/kv/range:x", "/v3/kv/range?x=y", "/v3alpha/kv/range", "/v3beta/kv/range",
                     "/v3betas/kv/range", "/v3//kv/range", "/v3/./kv/range", "/v3/kv/../kv/range", "/v3/kv/r%61nge", "/v3/kv%2Frange", "/v3/kv/RANGE",
                     "/v3/lock/lock/x", "/v3/maintenance/Status"):
            self.both(path, good)
        for path in ("/v3/kv/range", "/v3/watch", "/v3/maintenance/snapshot", "/v3/nope"):
            for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BOGUS"):
                if method == "BOGUS":
                    continue  # http.client sends it, NIO's parser knows no such method
                self.both(path, b"" if method in ("GET", "HEAD") else good, method=method)
        for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/grpc"}, {"Accept": "text/html"},
                        {"Content-Type": "application/x-www-form-urlencoded", "X-HTTP-Method-Override": "PUT"}, {"TE": "trailers"},
                        {"Content-Type": "application/json", "X-HTTP-Method-Override": "PUT"}):
            self.both("/v3/kv/range", good, headers=headers)

    def test_request_headers(self):
        good = json.dumps({"key": b64("k")})
        for value in ("1", "S", "xS", "1x", "1S", "10H", "0S", "-1S", "+1S", "99999999999H", "1.5S", "", " 1S", "1 S", "99999999S", "1m1S", "1n"):
            self.both("/v3/kv/range", good, headers={"Grpc-Timeout": value})
        for headers in ({"Authorization": "junk"}, {"Grpc-Metadata-hasleader": "true"}, {"Grpc-Metadata-Token": "x"},
                        {"Grpc-Metadata-Client-Api-Version": "3.9"}, {"X-Forwarded-For": "1.2.3.4"}):
            self.both("/v3/kv/range", good, headers=headers)

    def test_too_large(self):
        size = 3 << 20
        ours = self.both("/v3/kv/put", json.dumps({"key": b64("k"), "value": b64(b"x" * size)}))
        self.assertEqual(ours.status, 429)
        self.assertEqual(self.ask("KV.Put", key=b64("k"), value=b64(b"x" * (1_572_864 + 1000))).status, 400)


class Observation:
    """/v3/election/observe as it goes on."""

    def __init__(self, server, name):
        self.socket = websocket.create_connection(f"ws://{server.address}/v3/election/observe", timeout=20)
        self.socket.send(json.dumps({"name": name}))

    def until(self, value):
        while True:
            message = parse(self.socket.recv())
            result = dict(dict(message)["result"])
            if dict(result["kv"])["value"] == b64(value):
                return message

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


class Authentication(SideBySide):
    def test_tokens(self):
        for method, message in (("Auth.UserAdd", {"name": "root", "password": "pw"}), ("Auth.RoleAdd", {"name": "root"}),
                                ("Auth.UserGrantRole", {"user": "root", "role": "root"}), ("Auth.UserAdd", {"name": "eve", "password": "x"}),
                                ("Auth.UserChangePassword", {"name": "eve", "password": "evil"}), ("Auth.RoleAdd", {"name": "readers"}),
                                ("Auth.RoleGrantPermission", {"name": "readers", "perm": {"permType": "READ", "key": b64("open"), "range_end": b64("opeo")}}),
                                ("Auth.UserGrantRole", {"user": "eve", "role": "readers"}), ("Auth.RoleGet", {"role": "readers"}),
                                ("Auth.UserGet", {"name": "eve"}), ("Auth.UserList", {}), ("Auth.RoleList", {}), ("Auth.AuthStatus", {}),
                                ("Auth.AuthEnable", {}), ("Auth.Authenticate", {"name": "eve", "password": "wrong"})):
            self.ask(method, **message)
        self.ask("KV.Range", key=b64("open"))
        tokens = {}
        for name, password in (("root", "pw"), ("eve", "evil")):
            tokens[name] = [side.post(ROUTES["Auth.Authenticate"], {"name": name, "password": password}).json()["token"]
                            for side in (self.ours, self.theirs)]

        def as_user(name, method, form="{}", header="Authorization", **message):
            sides = zip((self.ours, self.theirs), tokens[name])
            ours, theirs = (side.post(ROUTES[method], message, headers={header: form.format(token)}) for side, token in sides)
            self.assertEqual(comparable(ours, method), comparable(theirs, method), (name, method, form, header, message))
            return ours

        self.assertEqual(as_user("root", "KV.Put", key=b64("open"), value=b64("1")).status, 200)
        self.assertEqual(as_user("eve", "KV.Range", key=b64("open")).status, 200)
        self.assertEqual(as_user("eve", "KV.Range", header="Grpc-Metadata-Token", key=b64("open")).status, 200)
        self.assertEqual(as_user("eve", "KV.Range", header="Grpc-Metadata-Authorization", key=b64("open")).status, 200)
        self.assertEqual(as_user("eve", "KV.Put", key=b64("open"), value="").status, 403)
        self.assertEqual(as_user("eve", "KV.Range", form="{}x", key=b64("open")).status, 401)
        self.assertEqual(as_user("eve", "Auth.UserList").status, 403)
        self.assertEqual(as_user("eve", "KV.Range", header="X-Token", key=b64("open")).status, 400)
        # etcd takes the Bearer form, which is the only one for a WebSocket, since 3.6.13: there is no token in older ones' eyes.
        headers = {"Authorization": f"Bearer {tokens['eve'][0]}"}
        self.assertEqual(self.ours.post("/v3/kv/range", {"key": b64("open")}, headers=headers).status, 200)
        create = json.dumps({"create_request": {"key": b64("open")}})
        for options in ({"subprotocols": ["Bearer", tokens["eve"][0]]}, {"cookie": f"token={tokens['eve'][0]}"}):
            ws = websocket.create_connection(f"ws://{self.server.address}/v3/watch", timeout=20, **options)
            ws.send(create)
            self.assertNotIn("canceled", json.loads(ws.recv())["result"])
            ws.close()
        for server in (self.server, self.etcd):
            ws = websocket.create_connection(f"ws://{server.address}/v3/watch", timeout=20)
            ws.send(create)
            self.assertTrue(json.loads(ws.recv())["result"]["canceled"])
            ws.close()
        self.assertEqual(as_user("root", "Auth.AuthDisable").status, 200)


class Streams(SideBySide):
    def script(self, server, send, receive):
        """A conversation with a watch; what was answered."""
        side = Gateway(server.address)
        self.addCleanup(side.close)
        key = f"{self.id()}/".encode()
        got = []

        def take(count=1):
            for _ in range(count):
                message = receive()
                got.append(json.loads(json.dumps(message)))
            return got[-1]

        send({"create_request": {"key": b64(key), "range_end": b64(key[:-1] + b"0"), "prev_kv": True}})
        take()
        send({"createRequest": {"key": b64("other"), "watchId": "7"}})
        take()
        for value in ("1", "2"):
            side.post("/v3/kv/put", {"key": b64(key + b"a"), "value": b64(value)})
            take()
        side.post("/v3/kv/deleterange", {"key": b64(key + b"a")})
        take()
        send({"progress_request": {}})
        take()
        send({"cancel_request": {"watch_id": 7}})
        take()
        send({"create_request": {"key": b64("x"), "start_revision": 1, "filters": ["NODELETE", 0]}})
        take()
        return got

    def check(self, got):
        results = [line["result"] for line in got]
        self.assertEqual([r.get("created", False) for r in results], [True, True, False, False, False, False, False, True])
        events = [e for r in results for e in r.get("events", [])]
        self.assertEqual([e.get("type", "PUT") for e in events], ["PUT", "PUT", "DELETE"])
        self.assertEqual(base64.b64decode(events[1]["prev_kv"]["value"]), b"1")
        self.assertEqual(results[5]["watch_id"], "-1")
        self.assertEqual((results[6]["watch_id"], results[6]["canceled"]), ("7", True))

    @staticmethod
    def relative(got):
        """Revisions counted from the first answer's, identities left out."""
        first = int(got[0]["result"]["header"]["revision"])

        def walk(value, name=None):
            if isinstance(value, dict):
                return {n: walk(v, n) for n, v in value.items() if n not in ("cluster_id", "member_id", "raft_term")}
            if isinstance(value, list):
                return [walk(v) for v in value]
            return int(value) - first if name in ("revision", "mod_revision", "create_revision") else value

        return walk(got)

    def test_websocket(self):
        transcripts = []
        for server in (self.server, self.etcd):
            ws = websocket.create_connection(f"ws://{server.address}/v3/watch", timeout=20)
            transcripts.append(self.script(server, lambda m: ws.send(json.dumps(m)), lambda: json.loads(ws.recv())))
            ws.close()
        self.check(transcripts[0])
        self.assertEqual(self.relative(transcripts[0]), self.relative(transcripts[1]))

    def test_http1(self):
        """By real etcd only answers to a body that has ended come; here both directions go on together."""
        with Conversation(self.server.url + "/v3/watch", "--http1.1") as talk:
            self.check(self.script(self.server, talk.send, talk.next))
            talk.end_input()
            # The watch goes on behind the end of the request.
            Gateway(self.server.address).post("/v3/kv/put", {"key": b64(f"{self.id()}/z"), "value": ""})
            self.assertEqual(len(talk.next()["result"]["events"]), 1)

    def test_http2(self):
        with Conversation(self.server.url + "/v3/watch", "--http2-prior-knowledge") as talk:
            self.check(self.script(self.server, talk.send, talk.next))
            talk.end_input()
            Gateway(self.server.address).post("/v3/kv/put", {"key": b64(f"{self.id()}/z"), "value": ""})
            self.assertEqual(len(talk.next()["result"]["events"]), 1)

    def test_keepalive(self):
        for side in (self.ours, self.theirs):
            side.post("/v3/lease/grant", {"TTL": 500, "ID": 91})
        for ways in (["--http1.1"], ["--http2-prior-knowledge"]):
            with Conversation(self.server.url + "/v3/lease/keepalive", *ways) as talk:
                for lease, ttl in ((91, "500"), (92, None), (91, "500")):
                    talk.send({"ID": lease})
                    self.assertEqual(talk.next()["result"].get("TTL"), ttl)
                talk.end_input()
                self.assertIsNone(talk.next())
        answers = []
        for server in (self.server, self.etcd):
            ws = websocket.create_connection(f"ws://{server.address}/v3/lease/keepalive", timeout=20)
            got = []
            for lease in (91, "92"):
                ws.send(json.dumps({"ID": lease}))
                got.append(self.relative([json.loads(ws.recv())]))
            # Several in one message, and one in two.
            ws.send('{"ID":91} {"ID"')
            got.append(self.relative([json.loads(ws.recv())]))
            ws.send(':92}')
            got.append(self.relative([json.loads(ws.recv())]))
            answers.append(got)
            ws.close()
        self.assertEqual(answers[0], answers[1])

    def test_bad_messages_end_the_request(self):
        for text in ('{"ID":1}x', '{"ID":1}{"ID":"x"}{"ID":2}', "x", '{"ID":1}{', "", "5", '{"ID":1} 5', '{"ID":1}{"ID":1,"ID":2}'):
            answers = [side.request("/v3/lease/keepalive", text) for side in (self.ours, self.theirs)]
            lines = [[json.loads(line)["result"]["ID"] for line in answer.body.splitlines()] for answer in answers]
            self.assertEqual(lines[0], lines[1], text)
            self.assertEqual((answers[0].status, answers[0].headers.get("content-type")), (answers[1].status, answers[1].headers.get("content-type")))

    def test_unary_by_websocket(self):
        for path, message in (("/v3/kv/range", {"key": b64("nothing")}), ("/v3/kv/range", {}), ("/v3/nope", {})):
            answers = []
            for server in (self.server, self.etcd):
                ws = websocket.create_connection(f"ws://{server.address}{path}", timeout=20)
                ws.send(json.dumps(message))
                answers.append(plain(normalized(parse(ws.recv()))))
                answers[-1].pop("header", None)
                ws.close()
            self.assertEqual(answers[0], answers[1], path)

    def test_handshakes(self):
        def ask(server, method="GET", **changed):
            headers = {"Host": server.address, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                       "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
            headers.update({name.replace("_", "-"): value for name, value in changed.items()})
            text = f"{method} /v3/watch HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items() if v is not None) + "\r\n"
            with socket.create_connection(("127.0.0.1", server.client_port), timeout=20) as peer:
                peer.sendall(text.encode())
                response = http.client.HTTPResponse(peer)
                response.begin()
                return (response.status, response.getheader("Sec-WebSocket-Accept"), response.getheader("Sec-WebSocket-Protocol"),
                        response.getheader("Sec-WebSocket-Version"))

        for options in ({}, {"Connection": "keep-alive, upgrade"}, {"Upgrade": "WebSocket"}, {"Sec_WebSocket_Version": "8"},
                        {"Sec_WebSocket_Key": None}, {"Sec_WebSocket_Key": "short"}, {"Sec_WebSocket_Protocol": "Bearer, abc"},
                        {"Sec_WebSocket_Protocol": "chat"}, {"method": "POST"}):
            self.assertEqual(ask(self.server, **options), ask(self.etcd, **options), options)

    def test_leaving_cancels(self):
        def streams():
            text = Gateway(self.server.address).request("/metrics", method="GET").body.decode()
            return int(next(line.split()[1] for line in text.splitlines() if line.startswith("etcd_debugging_mvcc_watch_stream_total ")))

        before = streams()
        create = {"create_request": {"key": b64("x")}}
        talks = [Conversation(self.server.url + "/v3/watch", way) for way in ("--http1.1", "--http2-prior-knowledge") for _ in range(3)]
        for talk in talks:
            talk.send(create)
            talk.next()
        sockets = [websocket.create_connection(f"ws://{self.server.address}/v3/watch", timeout=20) for _ in range(3)]
        for ws in sockets:
            ws.send(json.dumps(create))
            ws.recv()
        self.assertEqual(streams(), before + 9)
        for talk in talks:
            talk.close()
        sockets[0].close()
        for ws in sockets[1:]:
            ws.sock.close()
        deadline = time.monotonic() + 20
        while streams() != before:
            self.assertLess(time.monotonic(), deadline, f"{streams()} streams are left")
            time.sleep(0.02)


class Own(SharedServer):
    """What is proved without a second server."""

    def setUp(self):
        super().setUp()
        self.gateway = Gateway(self.server.address)
        self.addCleanup(self.gateway.close)

    def test_large_list(self):
        """An answer far larger than any buffer: equal to gRPC's, in both versions of HTTP, and memory does not grow with it."""
        value = os.urandom(30_000)
        for i in range(1000):
            self.client.call("KV.Put", key=self.k(f"{i:05}"), value=value[i:])
        whole = list(self.client.call("KV.Range", key=self.k(), range_end=self.k(b"z")).kvs)
        body = json.dumps({"key": b64(self.k()), "range_end": b64(self.k(b"z"))})
        before = self.server.rss_bytes()
        for way in ("--http1.1", "--http2-prior-knowledge"):
            text = run(["curl", "-sS", way, "-d", body, self.server.url + "/v3/kv/range"], check=True).stdout
            answer = json.loads(text)
            self.assertEqual(answer["count"], "1000")
            self.assertEqual([(base64.b64decode(kv["key"]), base64.b64decode(kv["value"])) for kv in answer["kvs"]],
                             [(kv.key, kv.value) for kv in whole])
        self.assertLess(self.server.rss_bytes() - before, 24 << 20)
        # A reader that stops half way.
        with socket.create_connection(("127.0.0.1", self.server.client_port)) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            peer.sendall(f"POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            self.assertTrue(peer.recv(100).startswith(b"HTTP/1.1 200 OK"))
            time.sleep(0.2)
            self.assertLess(self.server.rss_bytes() - before, 24 << 20)
        self.assertEqual(self.gateway.post("/v3/kv/range", {"key": b64("x")}).status, 200)

    def test_snapshot(self):
        self.client.call("KV.Put", key=self.k(), value=b"in the snapshot")
        for way in ("--http1.1", "--http2-prior-knowledge"):
            text = run(["curl", "-sS", way, "-d", "{}", self.server.url + "/v3/maintenance/snapshot"], check=True).stdout
            lines = [json.loads(line)["result"] for line in text.splitlines()]
            blobs = [base64.b64decode(line.get("blob", "")) for line in lines]
            database, digest = b"".join(blobs[:-1]), blobs[-1]
            self.assertEqual(hashlib.sha256(database).digest(), digest)
            direct = [message.blob for message in self.client.call("Maintenance.Snapshot")]
            self.assertEqual(len(database), len(b"".join(direct[:-1])))
            self.assertIn(b"in the snapshot", database)

    def test_expect(self):
        body = json.dumps({"key": b64("k")})
        with socket.create_connection(("127.0.0.1", self.server.client_port), timeout=20) as peer:
            peer.sendall(f"POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
            self.assertEqual(peer.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
            peer.sendall(body.encode())
            self.assertTrue(peer.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n"))

    def raw(self, text):
        """All that is answered until the server closes or a complete answer is there."""
        with socket.create_connection(("127.0.0.1", self.server.client_port), timeout=20) as peer:
            peer.sendall(text)
            response = http.client.HTTPResponse(peer)
            response.begin()
            return response.status, response.read()

    def test_framing(self):
        """Bodies that a proxy in front could understand differently are refused."""
        body = json.dumps({"key": b64("k")}).encode()
        head = b"POST /v3/kv/range HTTP/1.1\r\nHost: x\r\n"
        chunked = b"Transfer-Encoding: chunked\r\n"
        self.assertEqual(self.raw(head + b"Content-Length: 5\r\n" + chunked + b"\r\n0\r\n\r\n")[0], 400)
        self.assertEqual(self.raw(head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   ")[0], 400)
        self.assertEqual(self.raw(head + b"Content-Length: -1\r\n\r\n")[0], 400)
        self.assertEqual(self.raw(head + b"Transfer-Encoding: gzip\r\n\r\n")[0], 400)
        self.assertEqual(self.raw(head + chunked + b"\r\nxyz\r\n")[0], 400)
        self.assertEqual(self.raw(head + chunked + b"\r\n%x;name=value\r\n%s\r\n0\r\nTrailer: x\r\n\r\n" % (len(body), body))[0], 200)
        one_by_one = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body) + b"0\r\n\r\n"
        self.assertEqual(self.raw(head + chunked + b"\r\n" + one_by_one)[0], 200)
        # Two requests at once, the first with an error.
        with socket.create_connection(("127.0.0.1", self.server.client_port), timeout=20) as peer:
            peer.sendall((head + b"Content-Length: 1\r\n\r\nx") + (head + b"Content-Length: %d\r\n\r\n" % len(body)) + body)
            received = b""
            while received.count(b"HTTP/1.1 ") < 2:
                received += (more := peer.recv(65536))
                self.assertTrue(more, received)
            self.assertEqual(re.findall(rb"HTTP/1\.1 (\d+)", received), [b"400", b"200"])

    def test_oversized(self):
        head = "POST /v3/kv/range HTTP/1.1\r\nHost: x\r\n"
        self.assertEqual(self.raw(f"{head}Content-Length: {1 << 40}\r\n\r\n".encode())[0], 413)
        before = self.server.rss_bytes()
        with socket.create_connection(("127.0.0.1", self.server.client_port), timeout=20) as peer:
            peer.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
            try:
                for _ in range(1000):
                    peer.sendall(chunk)
            except OSError:
                pass
            else:
                self.fail("a body of 64 MB was taken")
        self.assertLess(self.server.rss_bytes() - before, 48 << 20)
        # A stream of values has no end, but no value may be that long.
        self.assertEqual(self.endless_value(), (429, {"error": {"code": 8, "message": "a message of the request is longer than 16777216 bytes"}}))
        self.assertEqual(self.gateway.post("/v3/kv/range", {"key": b64("x")}).status, 200)

    def endless_value(self):
        """What is answered to a message on an HTTP/2 stream that does not end."""
        talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        talk.initiate_connection()
        talk.send_headers(1, [(":method", "POST"), (":path", "/v3/lease/keepalive"), (":scheme", "http"), (":authority", "x")])
        talk.send_data(1, b'{"bogus":"')
        status, body = None, b""
        with socket.create_connection(("127.0.0.1", self.server.client_port), timeout=20) as peer:
            while True:
                room = min(talk.local_flow_control_window(1), 16384)
                if room > 0:
                    talk.send_data(1, b"x" * room)
                peer.sendall(talk.data_to_send())
                if room > 0 and not select.select([peer], [], [], 0)[0]:
                    continue
                for event in talk.receive_data(peer.recv(65536)):
                    if isinstance(event, h2.events.ResponseReceived):
                        status = int(dict(event.headers)[b":status"])
                    elif isinstance(event, h2.events.DataReceived):
                        body += event.data
                    elif isinstance(event, h2.events.StreamEnded):
                        return status, json.loads(body)

    def test_many_at_once(self):
        """Requests in each other's way on one HTTP/2 connection, with answers of all sizes. (curl 7.88 hangs at this, whoever serves it.)"""
        values = [os.urandom(size) for size in (0, 1, 1_000, 16_000, 17_000, 65_000, 200_000, 700_000)]
        for number, value in enumerate(values):
            self.client.call("KV.Put", key=self.k(b"%d" % number), value=value)
        talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        talk.initiate_connection()
        answers, wanted = {}, {}
        with socket.create_connection(("127.0.0.1", self.server.client_port), timeout=60) as peer:
            for turn in range(40):
                stream = talk.get_next_available_stream_id()
                wanted[stream], answers[stream] = values[turn % len(values)], b""
                talk.send_headers(stream, [(":method", "POST"), (":path", "/v3/kv/range"), (":scheme", "http"), (":authority", "x")])
                talk.send_data(stream, json.dumps({"key": b64(self.k(b"%d" % (turn % len(values))))}).encode(), end_stream=True)
            left = set(wanted)
            while left:
                peer.sendall(talk.data_to_send())
                for event in talk.receive_data(peer.recv(1 << 18)):
                    if isinstance(event, h2.events.ResponseReceived):
                        self.assertEqual(dict(event.headers)[b":status"], b"200")
                    elif isinstance(event, h2.events.DataReceived):
                        answers[event.stream_id] += event.data
                        talk.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        left.remove(event.stream_id)
                    else:
                        self.assertNotIsInstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated))
        for stream, value in wanted.items():
            self.assertEqual(base64.b64decode(json.loads(answers[stream])["kvs"][0].get("value", "")), value)

    def test_counted(self):
        def started():
            text = self.gateway.request("/metrics", method="GET").body.decode()
            return {line.split()[0]: float(line.split()[1]) for line in text.splitlines()
                    if line.startswith(("grpc_server_started_total", "grpc_server_handled_total")) and 'Method="Compact"' in line.replace("grpc_m", "M").replace("Method=", "Method=")}

        before = started()
        self.gateway.post("/v3/kv/compaction", {"revision": "100000000"})
        after = started()
        changed = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
        self.assertEqual(sorted(changed.values()), [1, 1], changed)

    def test_requests_are_counted(self):
        def counts():
            text = self.gateway.request("/metrics", method="GET").body.decode()
            return {tuple(re.findall(r'"([^"]*)"', line)): float(line.split()[-1])
                    for line in text.splitlines() if line.startswith("martlet_gateway_requests_total{")}
        before = counts()
        for _ in range(3):
            self.gateway.post("/v3/kv/range", {"key": b64("a")})
        self.gateway.post("/v3/kv/range", {})
        self.gateway.request("/v3/kv/range", "{")
        self.gateway.post("/v3/nothing", {})
        self.gateway.request("/v3/kv/range", method="GET")
        with Conversation(self.server.url + "/v3/watch", "--http1.1") as talk:
            talk.send({"create_request": {"key": b64("a")}})
            talk.next()
        deadline = time.monotonic() + 20
        wanted = {("unary", "200"): 3, ("unary", "400"): 2, ("none", "404"): 1, ("none", "501"): 1, ("stream", "200"): 1}
        while True:
            moved = {labels: value - before.get(labels, 0) for labels, value in counts().items() if value != before.get(labels, 0)}
            if moved == wanted:
                return
            self.assertLess(time.monotonic(), deadline, moved)
            time.sleep(0.05)

    def test_metrics_gzip(self):
        plain_text = self.gateway.request("/metrics", method="GET")
        self.assertNotIn("content-encoding", plain_text.headers)
        answer = self.gateway.request("/metrics", method="GET", headers={"Accept-Encoding": "deflate, gzip;q=0.5"})
        self.assertEqual(answer.headers["content-encoding"], "gzip")
        text = gzip.decompress(answer.body).decode()
        self.assertIn("etcd_server_has_leader 1", text)
        self.assertLess(len(answer.body), len(text) / 3)
        refused = self.gateway.request("/metrics", method="GET", headers={"Accept-Encoding": "gzip;q=0"})
        self.assertNotIn("content-encoding", refused.headers)


class OverTLS(Case):
    """The same by HTTPS, with certificates on both sides."""

    @classmethod
    def setUpClass(cls):
        cls.certificates = certificates()
        cls.addClassCleanup(cls.certificates.close)
        cls.server = SecureServer(cls.certificates).start()
        cls.addClassCleanup(cls.server.close)

    def context(self, name="good"):
        context = ssl.create_default_context(cafile=self.certificates.path("ca1.crt"))
        if name:
            context.load_cert_chain(self.certificates.path(f"{name}.crt"), self.certificates.path(f"{name}.key"))
        return context

    def flags(self):
        path = self.certificates.path
        return ["--cacert", path("ca1.crt"), "--cert", path("good.crt"), "--key", path("good.key")]

    def put(self, name):
        with self.server.client() as client:
            return client.put(name)

    def test_requests_of_one_connection(self):
        host, port = self.server.address.split(":")
        connection = http.client.HTTPSConnection(host, int(port), timeout=20, context=self.context())
        self.addCleanup(connection.close)
        value = b64(os.urandom(300_000))

        def post(path, message):
            connection.request("POST", path, json.dumps(message))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        self.assertEqual(post("/v3/kv/put", {"key": b64("k"), "value": value})[0], 200)
        kept = connection.sock
        self.assertEqual(post("/v3/kv/range", {"key": b64("k")})[1]["kvs"][0]["value"], value)
        self.assertEqual(post("/v3/kv/range", {})[0], 400)
        self.assertIs(connection.sock, kept)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            stranger = http.client.HTTPSConnection(host, int(port), timeout=20, context=self.context(None))
            stranger.request("POST", "/v3/kv/range", "{}")
            stranger.getresponse()

    def test_http2(self):
        done = run(["curl", "-sS", "--http2", "-w", "%{http_version}", *self.flags(), "-d", json.dumps({"key": b64("h2"), "value": b64("v")}),
                    self.server.url + "/v3/kv/put"], check=True)
        self.assertTrue(done.stdout.endswith("2") and '"revision"' in done.stdout, done.stdout)

    def watch(self, name, send, receive):
        key = b64(name)
        send({"create_request": {"key": key}})
        self.assertTrue(receive()["result"]["created"])
        for _ in range(3):
            revision = self.put(name).header.revision
            event = receive()["result"]["events"][0]
            self.assertEqual((event["kv"]["key"], event["kv"]["mod_revision"]), (key, str(revision)))

    def test_websocket(self):
        address = f"wss://{self.server.address}/v3/watch"
        ws = websocket.create_connection(address, timeout=20, sslopt={"context": self.context()})
        self.watch(b"ws", lambda message: ws.send(json.dumps(message)), lambda: json.loads(ws.recv()))
        # Messages larger than a record of TLS, both ways.
        ws.send(json.dumps({"create_request": {"key": b64(b"x" * 200_000)}}))
        self.assertTrue(json.loads(ws.recv())["result"]["created"])
        with self.server.client() as client:
            client.put(b"x" * 200_000, b"y" * 900_000)
        self.assertEqual(len(json.loads(ws.recv())["result"]["events"][0]["kv"]["value"]), 1_200_000)
        ws.close()
        with self.assertRaises((ssl.SSLError, ConnectionError, websocket.WebSocketException)):
            websocket.create_connection(address, timeout=20, sslopt={"context": self.context(None)}).recv()

    def test_streams(self):
        for way in ("--http1.1", "--http2"):
            with Conversation(self.server.url + "/v3/watch", way, *self.flags()) as talk:
                self.watch(b"stream" + way.encode(), talk.send, talk.next)


class Switches(Case):
    def test_disabled(self):
        with Server("--enable-grpc-gateway=false") as server:
            answer = Gateway(server.address).post("/v3/kv/range", {"key": b64("k")})
            self.assertEqual((answer.status, answer.body), (404, b"404 page not found\n"))
            self.assertEqual(Gateway(server.address).request("/health", method="GET").status, 200)

    def test_stream_limit(self):
        """All of the gateway's calls together may be as many as a connection's streams; the others wait, also those that give up."""
        with Server("--max-concurrent-streams", "3") as server:
            def ask(seconds):
                done = run(["curl", "-sS", "-m", str(seconds), "-d", json.dumps({"key": b64("k")}), f"{server.url}/v3/kv/range"])
                return done.returncode, done.stdout
            talks = []
            for way in ("--http1.1", "--http2-prior-knowledge", "--http1.1"):
                self.assertEqual(ask(20)[0], 0)
                talks.append(Conversation(f"{server.url}/v3/watch", way))
                talks[-1].send({"create_request": {"key": b64("x")}})
                talks[-1].next()
            for _ in range(2):
                self.assertEqual(ask(0.5)[0], 28, "not in time")
            self.wait_until_queued(server, 2)  # Those that gave up keep their places in the queue.
            late = subprocess.Popen(["curl", "-sS", "-m", "60", "-d", json.dumps({"key": b64("k")}), f"{server.url}/v3/kv/range"], stdout=subprocess.PIPE)
            self.wait_until_queued(server, 3)
            stream = Conversation(f"{server.url}/v3/watch", "--http2-prior-knowledge")
            stream.send({"create_request": {"key": b64("y")}})
            self.wait_until_queued(server, 4)
            with self.assertRaises(subprocess.TimeoutExpired):
                late.wait(0.3)
            talks[0].close()
            self.assertIn(b'"revision":"1"', late.communicate(timeout=60)[0])
            # Its place goes to the stream, which has said already what it wants.
            self.assertIn("created", json.dumps(stream.next()))
            self.wait_until_queued(server, 0)
            self.assertEqual(ask(0.5)[0], 28)
            for talk in (*talks[1:], stream):
                talk.close()
            self.assertEqual(ask(20)[0], 0)

    def wait_until_queued(self, server, calls):
        gateway = Gateway(server.address)
        deadline = time.monotonic() + 30
        while True:
            metrics = gateway.request("/metrics", method="GET").body.decode()
            waiting = int(re.search(r"^martlet_gateway_calls_waiting (\d+)", metrics, re.MULTILINE)[1])
            if waiting == calls:
                return
            self.assertLess(time.monotonic(), deadline, f"{waiting} calls wait, not {calls}")
            time.sleep(0.02)

    def test_port_of_its_own(self):
        from harness.server import free_port
        port = free_port()
        with Server("--listen-client-http-urls", f"http://127.0.0.1:{port}") as server:
            answer = Gateway(f"127.0.0.1:{port}").post("/v3/kv/put", {"key": b64("k"), "value": b64("v")})
            self.assertEqual(answer.status, 200)
            self.assertEqual(Client(server.address).call("KV.Range", key=b"k").kvs[0].value, b"v")
            ws = websocket.create_connection(f"ws://127.0.0.1:{port}/v3/watch", timeout=20)
            ws.send(json.dumps({"create_request": {"key": b64("k")}}))
            self.assertTrue(json.loads(ws.recv())["result"]["created"])
            ws.close()
