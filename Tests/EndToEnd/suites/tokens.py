"""--auth-token=jwt: tokens that the server and real etcd make and check for each other, and what is refused.

Keys come from the openssl program. etcd 3.5 has no EdDSA; that method is checked by itself."""

import base64
import json
import pathlib
import shutil
import tempfile
import time
import unittest
import urllib.request

from harness import peers
from harness.case import Case, Code, run
from harness.client import Client
from harness.server import Server
from suites.auth import as_, set_up, token

EC = ("genpkey", "-algorithm", "EC", "-pkeyopt")
KEYS = {
    "rsa": ("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"), "p256": (*EC, "ec_paramgen_curve:P-256"),
    "p384": (*EC, "ec_paramgen_curve:P-384"), "p521": (*EC, "ec_paramgen_curve:P-521"), "ed25519": ("genpkey", "-algorithm", "ED25519"),
}
METHODS = {"RS256": "rsa", "PS512": "rsa", "ES256": "p256", "ES384": "p384", "ES512": "p521", "HS384": "secret"}
INVALID = "etcdserver: invalid auth token"


def claims(text):
    part = text.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class Signed(Case):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="martlet-keys-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        for name, arguments in KEYS.items():
            run(["openssl", *arguments, "-out", str(cls.directory / f"{name}.key")], check=True)
            run(["openssl", "pkey", "-in", str(cls.directory / f"{name}.key"), "-pubout", "-out", str(cls.directory / f"{name}.pub")], check=True)
        (cls.directory / "secret.key").write_text("a shared secret\n")

    @classmethod
    def flag(cls, method, key, private=True, public=False, **more):
        parts = ["jwt", f"sign-method={method}"]
        if private:
            parts.append(f"priv-key={cls.directory / key}.key")
        if public:
            parts.append(f"pub-key={cls.directory / key}.pub")
        return "--auth-token=" + ",".join(parts + [f"{name.replace('_', '-')}={value}" for name, value in more.items()])

    def start(self, *flags, binary=None):
        server = Server("--bcrypt-cost=4", *flags, binary=binary)
        self.addCleanup(server.close)
        server.start()
        client = Client(server.address)
        self.addCleanup(client.close)
        return server, client


@unittest.skipUnless(peers.etcd(), "no real etcd in the cache")
class WithEtcd(Signed):
    def test_each_takes_the_others_tokens(self):
        for method, key in METHODS.items():
            with self.subTest(method=method):
                flag = self.flag(method, key, public=key != "secret", ttl="10m")
                both = [self.start(flag), self.start(flag, binary=peers.etcd())]
                roots = [set_up(client) for _, client in both]
                began = time.time()
                for holder, (_, client) in zip(reversed(roots), both):
                    client.put(b"k", b"v", metadata=as_(holder))
                    self.assertEqual(client.range(b"k", metadata=[("authorization", "Bearer " + holder)] if client is both[0][1]
                                                  else as_(holder)).count, 1)
                ours, theirs = (claims(text) for text in roots)
                self.assertEqual({**ours, "exp": 0}, {**theirs, "exp": 0})
                for told in (ours, theirs):
                    self.assertTrue(began + 500 < told["exp"] < time.time() + 601, told)
                outcomes = [self.refusals(client, roots[0], alien=roots[1]) for _, client in both]
                self.assertEqual(*outcomes)
                for server, _ in both:
                    server.close()

    def refusals(self, client, root, alien):
        """What comes of tokens that are not good, or no longer."""
        header, body, signature = root.split(".")
        changed = [
            "nonsense", "a.b.c", f"{header}.{body}", f"{header}.{body}.", f"{header}.{body}.{signature[:-8]}", f"{header}.{body}.{signature}.x",
            f"{header}.{body[:-4]}.{signature}", "eyJhbGciOiJub25lIn0" + f".{body}.", "eyJhbGciOiJIUzI1NiJ9" + f".{body}.{signature}"]
        outcomes = [self.outcome(client, "KV.Range", text, key=b"k") for text in changed]
        self.assertEqual(set(outcomes), {(Code.UNAUTHENTICATED, INVALID)})
        outcomes.append(self.outcome(client, "KV.Range", None, key=b"k"))
        outcomes.append(self.outcome(client, "Auth.Authenticate", None, name="root", password="wrong"))
        # A change of the rules makes tokens old; who signs in again goes on.
        client.call("Auth.RoleAdd", name="new", metadata=as_(root))
        outcomes += [self.outcome(client, method, text, **fields) for text in (root, alien)
                     for method, fields in (("KV.Range", {"key": b"k"}), ("KV.Put", {"key": b"k"}), ("Lease.LeaseGrant", {"TTL": 5}))]
        self.assertIn((Code.INVALID_ARGUMENT, "etcdserver: revision of auth store is old"), outcomes)
        again = token(client, "root", "secret")
        client.put(b"k", metadata=as_(again))
        self.assertEqual(claims(again)["revision"], claims(root)["revision"] + 1)
        # Off and on: nobody is asked, then the old tokens are too old.
        client.call("Auth.AuthDisable", metadata=as_(again))
        client.put(b"k", metadata=as_("nonsense"))
        client.call("Auth.AuthEnable")
        return outcomes + [self.outcome(client, "KV.Range", again, key=b"k")]

    @staticmethod
    def outcome(client, method, text, **fields):
        import grpc
        try:
            client.call(method, metadata=as_(text) if text else None, **fields)
            return "done"
        except grpc.RpcError as error:
            return error.code(), error.details()

    def test_a_public_key_alone(self):
        _, maker = self.start(self.flag("RS256", "rsa"))
        root = set_up(maker)
        for binary in (peers.server(), peers.etcd()):
            server, client = self.start(self.flag("RS256", "rsa", private=False, public=True), binary=binary)
            with self.fails(Code.UNKNOWN, "auth: token signing attempted with verify-only key"):
                set_up(client)
            client.put(b"k", metadata=as_(root))
            if peers.is_martlet(binary):  # etcd 3.5 cannot act for itself then: leases never end (etcd#14616).
                client.call("Lease.LeaseGrant", TTL=2, ID=9, metadata=as_(root))
                client.put(b"l", lease=9, metadata=as_(root))
                deadline = time.monotonic() + 20
                while client.range(b"l", metadata=as_(root)).count:
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.1)
            server.close()

    def test_refusals_to_start(self):
        (self.directory / "empty").write_text("")
        (self.directory / "nonsense").write_text("nonsense")
        path = lambda name: str(self.directory / name)
        cases = [
            "jwt", "jwt,sign-method=XX", "jwt,sign-method=RS256", "jwt,sign-method=HS256", f"jwt,sign-method=HS256,pub-key={path('rsa.pub')}",
            "jwt,sign-method=RS256,priv-key=/nope", f"jwt,sign-method=RS256,priv-key={path('nonsense')}",
            f"jwt,sign-method=ES256,priv-key={path('nonsense')}", f"jwt,sign-method=RS256,pub-key={path('nonsense')}",
            f"jwt,sign-method=RS256,priv-key={path('empty')}", f"jwt,sign-method=RS256,priv-key={path('rsa.key')},ttl=x",
            f"jwt,sign-method=ES384,priv-key={path('p384.key')},pub-key={path('p256.pub')}",
            f"jwt,sign-method=RS256,pub-key={path('p256.pub')}", f"jwt,sign-method=ES256,pub-key={path('rsa.pub')}",
        ]
        for text in cases:
            outcomes = []
            for binary in (peers.server(), peers.etcd()):
                server = Server(f"--auth-token={text}", binary=binary)
                self.addCleanup(server.close)
                server.spawn()
                status = server.process.wait(20)
                server._reader.join(5)
                # Behind its last words etcd's other goroutines may still say something.
                outcomes.append((status, next((entry["error"] for entry in reversed(server.entries()) if "error" in entry), None)))
            if "p256.pub" in text and "p384.key" in text:
                # Ours is told of the curve first.
                self.assertEqual(outcomes[0][0], outcomes[1][0])
                continue
            self.assertEqual(outcomes[0], outcomes[1], text)


class Alone(Signed):
    def test_eddsa(self):
        if not peers.is_martlet(peers.server()):
            self.skipTest("etcd 3.5 has no EdDSA")
        _, client = self.start(self.flag("EdDSA", "ed25519", public=True))
        root = set_up(client)
        self.assertEqual(claims(root)["username"], "root")
        client.put(b"k", metadata=as_(root))
        header, body, signature = root.split(".")
        # The openssl program agrees.
        (self.directory / "signed").write_text(f"{header}.{body}")
        (self.directory / "signature").write_bytes(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
        done = run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(self.directory / "ed25519.pub"), "-rawin", "-in",
                    str(self.directory / "signed"), "-sigfile", str(self.directory / "signature")])
        self.assertIn("Verified Successfully", done.stdout + done.stderr)

    def test_tokens_end_and_outlive_a_restart(self):
        server, client = self.start(self.flag("ES256", "p256", ttl="3s"))
        set_up(client)
        root = token(client, "root", "secret")
        end = claims(root)["exp"]
        server.restart()
        client = Client(server.address)
        self.addCleanup(client.close)
        while time.time() < end + 0.1:
            try:
                client.put(b"k", metadata=as_(root))
            except Exception as error:
                self.assertEqual(error.details(), INVALID)
                self.assertGreaterEqual(time.time(), end - 0.1)
            time.sleep(0.1)
        with self.fails(Code.UNAUTHENTICATED, INVALID):
            client.put(b"k", metadata=as_(root))
        with self.fails(Code.UNAUTHENTICATED, INVALID):
            client.range(b"k", metadata=as_(root))

    def test_gateway_and_etcdctl(self):
        server, client = self.start(self.flag("HS256", "secret"))
        root = set_up(client)

        def post(path, body, **headers):
            request = urllib.request.Request(server.url + path, json.dumps(body).encode(), headers)
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)
        made = post("/v3/auth/authenticate", {"name": "root", "password": "secret"})["token"]
        key = base64.b64encode(b"k").decode()
        post("/v3/kv/put", {"key": key, "value": key}, Authorization=made)
        self.assertEqual(post("/v3/kv/range", {"key": key}, Authorization=root)["count"], "1")
        if peers.etcdctl():
            def ctl(*arguments):
                return run([peers.etcdctl(), "--endpoints", server.address, *arguments])
            self.assertEqual(ctl("--user", "root:secret", "put", "a", "b").stdout, "OK\n")
            self.assertEqual(ctl("--user", "alice:a", "get", "r/1").returncode, 0)
            self.assertIn("permission denied", ctl("--user", "alice:a", "put", "r/1", "x").stderr)
            self.assertIn("invalid user ID or password", ctl("--user", "alice:b", "get", "r/1").stderr)
