"""Users, roles, tokens: who may do what. By hand-made cases, with etcdctl, and by random requests compared with real etcd.

environment: MARTLET_AUTH_STEPS   requests of the random comparison (default 500)
             MARTLET_SEED         its seed (default: from the clock; printed)
"""

import os
import random
import signal
import time
import unittest

import grpc

from harness import api, peers
from harness.case import Case, Code, run
from harness.client import Client, compare, op_delete, op_put, op_range
from harness.server import Server

READ, WRITE, READWRITE = 0, 1, 2


def token(client, name, password):
    return client.call("Auth.Authenticate", name=name, password=password).token


def as_(text):
    return [("token", text)]


def permission(kind, key, range_end=b""):
    return api.authpb.Permission(permType=kind, key=key, range_end=range_end)


def set_up(client, users=(("alice", "a", "reader"), ("bob", "b", "writer"))):
    """root, a reader of r/*, a writer of w/*; authentication on. Answers root's token."""
    client.call("Auth.UserAdd", name="root", password="secret")
    client.call("Auth.UserGrantRole", user="root", role="root")
    client.call("Auth.RoleAdd", name="reader")
    client.call("Auth.RoleGrantPermission", name="reader", perm=permission(READ, b"r/", b"r0"))
    client.call("Auth.RoleAdd", name="writer")
    client.call("Auth.RoleGrantPermission", name="writer", perm=permission(READWRITE, b"w/", b"w0"))
    for name, password, role in users:
        client.call("Auth.UserAdd", name=name, password=password)
        client.call("Auth.UserGrantRole", user=name, role=role)
    client.call("Auth.AuthEnable")
    return token(client, "root", "secret")


class OneServer(Case):
    FLAGS = ("--bcrypt-cost", "4")

    def setUp(self):
        self.server = Server(*self.FLAGS).start()
        self.addCleanup(self.server.close)
        self.client = Client(self.server.address)
        self.addCleanup(self.client.close)


    def restarted(self):
        self.server.start()
        client = Client(self.server.address)
        self.addCleanup(client.close)
        return client


class Rules(OneServer):
    def test_keys(self):
        client, root = self.client, set_up(self.client)
        alice, bob = token(client, "alice", "a"), token(client, "bob", "b")
        client.put(b"r/1", b"x", metadata=as_(root))
        client.put(b"w/1", b"y", metadata=as_(bob))
        self.assertEqual(client.range(b"r/1", metadata=as_(alice)).kvs[0].value, b"x")
        self.assertEqual(client.range(b"r/", b"r0", metadata=[("authorization", alice)]).count, 1)
        self.assertEqual(client.range(b"r/", b"r0", metadata=[("authorization", "Bearer " + alice)]).count, 1)
        for refused in (lambda: client.range(b"w/1", metadata=as_(alice)), lambda: client.put(b"r/1", metadata=as_(alice)),
                        lambda: client.range(b"r/", b"r1", metadata=as_(alice)), lambda: client.range(b"r/", b"\0", metadata=as_(alice)),
                        lambda: client.delete(b"w/", b"w1", metadata=as_(bob)), lambda: client.range(b"\0", b"\0", metadata=as_(bob)),
                        lambda: client.put(b"w", metadata=as_(bob)), lambda: client.put(b"w0", metadata=as_(bob)),
                        lambda: list(client.call("KV.RangeStream", key=b"w/", metadata=as_(alice)))):
            with self.fails(Code.PERMISSION_DENIED, "etcdserver: permission denied"):
                refused()
        with self.fails(Code.INVALID_ARGUMENT, "etcdserver: user name is empty"):
            client.put(b"w/1")
        with self.fails(Code.INVALID_ARGUMENT, "etcdserver: user name is empty"):
            client.range(b"r/1")
        with self.fails(Code.UNAUTHENTICATED, "etcdserver: invalid auth token"):
            client.range(b"r/1", metadata=as_("nonsense"))

    def test_transactions_are_checked_whole(self):
        client, root = self.client, set_up(self.client)
        bob = token(client, "bob", "b")
        client.txn([compare(b"w/1", "version", "=", 0)], [op_put(b"w/1", b"1")], [op_range(b"w/1")], metadata=as_(bob))
        for txn in (([], [op_put(b"w/1", b"2")], [op_put(b"r/1", b"2")]), ([compare(b"r/1", "version", "=", 0)], [], []),
                    ([], [op_range(b"r/1")], []), ([], [op_delete(b"w/", b"x")], [])):
            with self.fails(Code.PERMISSION_DENIED):
                client.txn(*txn, metadata=as_(bob))
        self.assertEqual(client.range(b"w/1", metadata=as_(root)).kvs[0].value, b"1")

    def test_administration_is_roots(self):
        client, root = self.client, set_up(self.client)
        alice = token(client, "alice", "a")
        for name, fields in (("UserAdd", {"name": "x"}), ("UserList", {}), ("RoleList", {}), ("UserGet", {"name": "bob"}),
                             ("RoleGet", {"role": "writer"}), ("AuthDisable", {}), ("RoleDelete", {"role": "reader"}),
                             ("UserChangePassword", {"name": "alice", "password": "y"})):
            with self.fails(Code.PERMISSION_DENIED, "etcdserver: permission denied"):
                client.call(f"Auth.{name}", metadata=as_(alice), **fields)
        self.assertEqual(list(client.call("Auth.UserGet", name="alice", metadata=as_(alice)).roles), ["reader"])
        self.assertEqual(client.call("Auth.RoleGet", role="reader", metadata=as_(alice)).perm[0].range_end, b"r0")
        for call in ("Maintenance.Defragment", "Maintenance.HashKV"):
            with self.fails(Code.PERMISSION_DENIED):
                client.call(call, metadata=as_(alice))
            client.call(call, metadata=as_(root))
        with self.fails(Code.PERMISSION_DENIED):
            client.call("KV.Compact", revision=1, metadata=as_(alice))
        with self.fails(Code.INVALID_ARGUMENT, "etcdserver: invalid auth management"):
            client.call("Auth.UserDelete", name="root", metadata=as_(root))
        with self.fails(Code.INVALID_ARGUMENT, "etcdserver: invalid auth management"):
            client.call("Auth.UserRevokeRole", name="root", role="root", metadata=as_(root))

    def test_watch(self):
        client, root = self.client, set_up(self.client)
        alice = token(client, "alice", "a")
        with client.watch(metadata=as_(alice)) as watch:
            self.assertTrue(watch.create(b"r/", b"r0").created)
            refusal = watch.create(b"w/1")
            self.assertEqual((refusal.created, refusal.canceled, refusal.watch_id, refusal.cancel_reason), (
                True, True, -1, "rpc error: code = PermissionDenied desc = etcdserver: permission denied"))
            client.put(b"r/1", b"x", metadata=as_(root))
            self.assertEqual(watch.next().events[0].kv.value, b"x")
        with client.watch() as watch:
            self.assertEqual(watch.create(b"r/1").cancel_reason, "rpc error: code = InvalidArgument desc = etcdserver: user name is empty")
        with client.watch(metadata=as_("x")) as watch:
            self.assertEqual(watch.create(b"r/1").cancel_reason, "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token")

    def test_leases(self):
        client, root = self.client, set_up(self.client)
        alice, bob = token(client, "alice", "a"), token(client, "bob", "b")
        with self.fails(Code.INVALID_ARGUMENT, "etcdserver: user name is empty"):
            client.call("Lease.LeaseGrant", TTL=60, ID=7)
        # Without credentials nothing is proposed.
        before = client.call("Maintenance.Status", metadata=as_(root)).raftIndex
        for name, fields in (("LeaseGrant", {"TTL": 60}), ("LeaseRevoke", {"ID": 7}), ("LeaseTimeToLive", {"ID": 7})):
            with self.fails(Code.INVALID_ARGUMENT, "etcdserver: user name is empty"):
                client.call(f"Lease.{name}", **fields)
        self.assertEqual(client.call("Maintenance.Status", metadata=as_(root)).raftIndex, before)
        client.call("Lease.LeaseGrant", TTL=60, ID=7, metadata=as_(bob))
        client.put(b"w/1", lease=7, metadata=as_(bob))
        with self.fails(Code.PERMISSION_DENIED):
            client.call("Lease.LeaseRevoke", ID=7, metadata=as_(alice))
        with self.fails(Code.PERMISSION_DENIED):
            client.call("Lease.LeaseTimeToLive", ID=7, keys=True, metadata=as_(alice))
        self.assertEqual(client.call("Lease.LeaseTimeToLive", ID=7, metadata=as_(alice)).grantedTTL, 60)
        client.put(b"r/1", lease=7, metadata=as_(root))
        # bob could now have r/1 removed by revoking the lease.
        with self.fails(Code.PERMISSION_DENIED):
            client.call("Lease.LeaseRevoke", ID=7, metadata=as_(bob))
        with self.fails(Code.PERMISSION_DENIED):
            client.put(b"w/2", lease=7, metadata=as_(bob))
        client.call("Lease.LeaseRevoke", ID=7, metadata=as_(root))

    def test_leases_expire_while_authentication_is_on(self):
        client, root = self.client, set_up(self.client)
        bob = token(client, "bob", "b")
        client.call("Lease.LeaseGrant", TTL=2, ID=9, metadata=as_(bob))
        client.put(b"w/1", lease=9, metadata=as_(bob))
        deadline = time.monotonic() + 30
        while client.range(b"w/1", metadata=as_(root)).count and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(client.range(b"w/1", metadata=as_(root)).count, 0)

    def test_passwords(self):
        client, root = self.client, set_up(self.client)
        alice = token(client, "alice", "a")
        for name, password in (("alice", "b"), ("nobody", "a"), ("alice", ""), ("alice", "a\0")):
            with self.fails(Code.INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password"):
                token(client, name, password)
        client.call("Auth.UserChangePassword", name="alice", password="new", metadata=as_(root))
        with self.fails(Code.UNAUTHENTICATED, "etcdserver: invalid auth token"):
            client.range(b"r/1", metadata=as_(alice))
        client.range(b"r/1", metadata=as_(token(client, "alice", "new")))
        with self.fails(Code.UNKNOWN, "bcrypt: password length exceeds 72 bytes"):
            client.call("Auth.UserAdd", name="long", password="x" * 73, metadata=as_(root))
        client.call("Auth.UserAdd", name="cert", options=api.authpb.UserAddOptions(no_password=True), metadata=as_(root))
        with self.fails(Code.UNKNOWN, "auth: authentication failed, password was given for no password user"):
            token(client, "cert", "")

    def test_enable_needs_root(self):
        with self.fails(Code.FAILED_PRECONDITION, "etcdserver: root user does not exist"):
            self.client.call("Auth.AuthEnable")
        self.client.call("Auth.UserAdd", name="root", password="r")
        with self.fails(Code.FAILED_PRECONDITION, "etcdserver: root user does not have root role"):
            self.client.call("Auth.AuthEnable")
        with self.fails(Code.FAILED_PRECONDITION, "etcdserver: authentication is not enabled"):
            token(self.client, "root", "r")

    def test_survives_a_kill(self):
        client, root = self.client, set_up(self.client)
        revision = client.call("Auth.AuthStatus", metadata=as_(root)).authRevision
        self.server.stop(signal.SIGKILL)
        client = self.restarted()
        root = token(client, "root", "secret")
        status = client.call("Auth.AuthStatus", metadata=as_(root))
        self.assertEqual((status.enabled, status.authRevision), (True, revision))
        self.assertEqual(list(client.call("Auth.UserList", metadata=as_(root)).users), ["alice", "bob", "root"])
        self.server.stop()
        client = self.restarted()
        # Simple tokens are in memory only.
        with self.fails(Code.UNAUTHENTICATED, "etcdserver: invalid auth token"):
            client.range(b"r/1", metadata=as_(root))
        client.call("Auth.AuthDisable", metadata=as_(token(client, "root", "secret")))
        self.server.stop()
        client = self.restarted()
        self.assertEqual(client.call("Auth.AuthStatus").enabled, False)
        client.put(b"anything")


class Tokens(OneServer):
    FLAGS = ("--bcrypt-cost", "4", "--auth-token-ttl", "1")

    def test_expire_unless_used(self):
        set_up(self.client)
        alice = token(self.client, "alice", "a")
        for _ in range(6):
            time.sleep(0.3)
            self.client.range(b"r/1", metadata=as_(alice))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            time.sleep(1.5)
            try:
                self.client.range(b"r/1", metadata=as_(alice))
            except grpc.RpcError as error:
                self.assertEqual(error.details(), "etcdserver: invalid auth token")
                return
        self.fail("a token outlives its time")


@unittest.skipUnless(peers.etcdctl(), "no etcdctl")
class Etcdctl(OneServer):
    def ctl(self, *words, input=None, user=None):
        command = [peers.etcdctl(), "--endpoints", self.server.address]
        return run(command + (["--user", user] if user else []) + list(words), input=input)

    def test_flow(self):
        self.assertEqual(self.ctl("user", "add", "root:pw").stdout, "User root created\n")
        self.assertEqual(self.ctl("user", "grant-role", "root", "root").stdout, "Role root is granted to user root\n")
        self.assertEqual(self.ctl("role", "add", "r").stdout, "Role r created\n")
        self.assertEqual(self.ctl("role", "grant-permission", "r", "readwrite", "app/", "--prefix").stdout, "Role r updated\n")
        self.assertEqual(self.ctl("user", "add", "u:pw").stdout, "User u created\n")
        self.assertEqual(self.ctl("user", "grant-role", "u", "r").stdout, "Role r is granted to user u\n")
        self.assertEqual(self.ctl("auth", "enable").stdout, "Authentication Enabled\n")
        self.assertEqual(self.ctl("put", "app/1", "x", user="u:pw").stdout, "OK\n")
        self.assertEqual(self.ctl("get", "app/1", user="u:pw").stdout, "app/1\nx\n")
        denied = self.ctl("put", "other", "x", user="u:pw")
        self.assertEqual(denied.returncode, 1)
        self.assertIn("etcdserver: permission denied", denied.stderr)
        self.assertIn("etcdserver: user name is empty", self.ctl("get", "app/1").stderr)
        self.assertIn("authentication failed, invalid user ID or password", self.ctl("get", "app/1", user="u:no").stderr)
        self.assertIn("KV Write:\n\t[app/, app0) (prefix app/)", self.ctl("role", "get", "r", user="root:pw").stdout)
        self.assertIn("AuthRevision:", self.ctl("auth", "status", user="root:pw").stdout)
        self.assertEqual(self.ctl("auth", "disable", user="root:pw").stdout, "Authentication Disabled\n")
        self.assertEqual(self.ctl("get", "app/1").stdout, "app/1\nx\n")


NAMES = ["root", "alice", "bob", "carol", ""]
ROLES = ["root", "r1", "r2", "r3", ""]
KEYS = [b"a", b"a\0", b"ab", b"b", b"c", b"d", b"\0", b"\xff"]


class Both:
    """The same request to the server under test and to etcd, as the same user."""

    def __init__(self, clients):
        self.clients = clients
        self.tokens = [{}, {}]

    def answer(self, index, name, request, user):
        metadata = []
        if user == "?":
            metadata = as_("invalid")
        elif user:
            metadata = as_(self.tokens[index].get(user, "never.1"))
        try:
            response = self.clients[index].call(name, request, metadata=metadata, timeout=20)
        except grpc.RpcError as error:
            if name == "Maintenance.HashKV":
                # etcd 3.5 passes the auth store's own text on, without a code.
                return error.details().removeprefix("etcdserver: ").removeprefix("auth: ")
            return error.code().name, error.details()
        if name == "Maintenance.HashKV":
            # Since 3.6.
            response.ClearField("hash_revision")
        if name == "Auth.Authenticate":
            self.tokens[index][request.name] = response.token
            response.ClearField("token")
        for field in ("cluster_id", "member_id", "raft_term"):
            response.header.ClearField(field)
        return str(response)

    def __call__(self, name, request, user=None):
        return [self.answer(index, name, request, user) for index in (0, 1)]


@unittest.skipUnless(peers.etcd(), "no real etcd")
class Compared(Case):
    """Random calls by random users."""

    def request(self, rng):
        def key():
            return rng.choice(KEYS)

        def interval():
            # An end that is not behind the key: what etcd says then hangs on the shape of a search tree.
            low, high = sorted(rng.sample(KEYS, 2))
            return {"key": low, "range_end": rng.choice([b"", b"", high, b"\0"])}

        def granted():
            # One end per key: etcd 3.5 may keep a permission twice when a key has several.
            key = rng.choice(KEYS)
            return {"key": key, "range_end": [b"", b"\0", b"b\0", b"", b"d", b"", b"\xff", b""][KEYS.index(key)]}

        def op():
            return rng.choice([op_put(key(), b"v"), op_range(**interval()), op_delete(**interval())])

        name, role = rng.choice(NAMES), rng.choice(ROLES)
        calls = {
            "Auth.UserAdd": lambda: {"name": name, "password": "p"},
            "Auth.UserGet": lambda: {"name": name},
            "Auth.UserList": dict,
            "Auth.UserDelete": lambda: {"name": name},
            "Auth.UserChangePassword": lambda: {"name": name, "password": "p"},
            "Auth.UserGrantRole": lambda: {"user": name, "role": role},
            "Auth.UserRevokeRole": lambda: {"name": name, "role": role},
            "Auth.RoleAdd": lambda: {"name": role},
            # What role root may do is told only since 3.6.
            "Auth.RoleGet": lambda: {"role": role if role != "root" else "r1"},
            "Auth.RoleList": dict,
            "Auth.RoleDelete": lambda: {"role": role},
            "Auth.RoleGrantPermission": lambda: {"name": role, "perm": permission(rng.randrange(3), **granted()) if rng.random() < 0.95 else None},
            "Auth.RoleRevokePermission": lambda: {"role": role, **rng.choice([granted, interval])()},
            "Auth.Authenticate": lambda: {"name": name, "password": rng.choice("ppppq")},
            "Auth.AuthEnable": dict,
            "Auth.AuthDisable": dict,
            "KV.Range": lambda: {**interval(), "serializable": rng.random() < 0.5},
            "KV.Put": lambda: {"key": key(), "value": b"x", "prev_kv": rng.random() < 0.3},
            "KV.DeleteRange": lambda: {**interval(), "prev_kv": rng.random() < 0.3},
            "KV.Txn": lambda: {"compare": [compare(key(), "version", ">", 0)], "success": [op()], "failure": [op()]},
            "KV.Compact": lambda: {"revision": 1},
            "Lease.LeaseLeases": dict,
            "Maintenance.HashKV": lambda: {"revision": 1},
        }
        weights = {"KV.Range": 8, "KV.Put": 8, "KV.DeleteRange": 3, "KV.Txn": 6, "Auth.RoleGrantPermission": 6, "Auth.UserGrantRole": 4,
                   "Auth.Authenticate": 8, "Auth.AuthDisable": 0.3, "Auth.UserDelete": 0.4, "Auth.RoleDelete": 0.4, "KV.Compact": 0.2,
                   "Maintenance.HashKV": 0.2}
        method = rng.choices(list(calls), [weights.get(name, 1) for name in calls])[0]
        return method, api.METHODS[method].request(**calls[method]())

    def test_random_calls(self):
        seed = int(os.environ.get("MARTLET_SEED") or time.time())
        print(f"    MARTLET_SEED={seed}")
        rng = random.Random(seed)
        servers = [Server("--bcrypt-cost", "4"), Server("--bcrypt-cost", "4", binary=peers.etcd())]
        for server in servers:
            server.start()
            self.addCleanup(server.close)
        clients = [Client(server.address) for server in servers]
        for client in clients:
            self.addCleanup(client.close)
        both = Both(clients)
        for name in ("root", "alice"):
            both("Auth.UserAdd", api.METHODS["Auth.UserAdd"].request(name=name, password="p"))
        both("Auth.UserGrantRole", api.METHODS["Auth.UserGrantRole"].request(user="root", role="root"))
        both("Auth.AuthEnable", api.METHODS["Auth.AuthEnable"].request())
        for step in range(int(os.environ.get("MARTLET_AUTH_STEPS") or 500)):
            method, request = self.request(rng)
            user = None if method == "Auth.Authenticate" else rng.choice(["root", "root", "alice", "bob", "carol", "alice", "?", None])
            ours, theirs = both(method, request, user)
            self.assertEqual(ours, theirs, f"seed {seed}, step {step}: {method} as {user}\n{request}")
