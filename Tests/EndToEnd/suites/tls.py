"""TLS: who gets in and who does not, as with real etcd; certificates that change; every kind of client."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import grpc

from harness import peers
from harness.case import Case, run, since
from harness.certificates import Certificates
from harness.client import Client
from harness.server import Server, StartFailed, free_port
from suites.kubernetes import ApiServer

ACTIVE = peers.is_martlet(peers.server())
KEYS = {
    "p256": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "p384": ("ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
    "p521": ("ec", "-pkeyopt", "ec_paramgen_curve:P-521"), "rsa": ("rsa:2048",), "ed25519": ("ed25519",),
}


class SecureServer(Server):
    """A server that speaks TLS to its clients, with `server.crt` of a directory of certificates."""

    def __init__(self, certificates, *flags, mutual=True, scheme="https", **options):
        self.certificates, self.scheme = certificates, scheme
        own = ["--cert-file", certificates.path("server.crt"), "--key-file", certificates.path("server.key")]
        if mutual:
            own += ["--trusted-ca-file", certificates.path("clients.crt"), "--client-cert-auth"]
        super().__init__(*own, *flags, **options)

    @property
    def url(self):
        return f"{self.scheme}://{self.address}"

    def client(self, name="good", authority="ca1.crt"):
        read = lambda file: pathlib.Path(self.certificates.path(file)).read_bytes()
        pair = (read(f"{name}.key"), read(f"{name}.crt")) if name else (None, None)
        return Client(self.address, credentials=grpc.ssl_channel_credentials(read(authority), *pair))

    def rejections(self):
        return [line for line in self.entries() if line["msg"] == "rejected connection on client endpoint"]


def certificates():
    made = Certificates()
    made.leaf("server")
    made.leaf("good", common_name="root", names="DNS:client.example")
    made.bundle("clients.crt", "ca1.crt")
    return made


class TLSCase(Case):
    @classmethod
    def setUpClass(cls):
        cls.certificates = certificates()
        cls.addClassCleanup(cls.certificates.close)

    def start(self, *flags, **options):
        server = SecureServer(self.certificates, *flags, **options)
        self.addCleanup(server.close)
        return server.start()

    def eventually(self, condition, seconds=10):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, "never happened")
            time.sleep(0.02)


def attempt(*arguments, **options):
    """As `_attempt`. An alert may be lost when the request that it crosses makes the kernel reset the connection: a few
    more attempts tell whether there is one."""
    for _ in range(5):
        outcome = _attempt(*arguments, **options)
        if outcome not in (("refused", "EOF"), ("closed", "ConnectionResetError"), ("closed", "BrokenPipeError")):
            break
    return outcome


def _attempt(address, certificates, name=None, *, version=None, ciphers=None, protocols=None, server_name="localhost",
             family=socket.AF_INET):
    """One handshake and one request: what came of it, as a text. In TLS 1.3 the refusal comes with the answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates.path("ca1.crt"))
    if name:
        context.load_cert_chain(certificates.path(f"{name}.crt"), certificates.path(f"{name}.key"))
    if version:
        context.minimum_version = context.maximum_version = version
    # So that old versions and suites are offered at all.
    context.set_ciphers((ciphers or "ALL") + ":@SECLEVEL=0")
    if protocols:
        context.set_alpn_protocols(protocols)
    try:
        with socket.socket(family) as raw:
            raw.settimeout(10)
            raw.connect(address)
            with context.wrap_socket(raw, server_hostname=server_name) as tls:
                details = (tls.version(), tls.selected_alpn_protocol())
                if protocols and tls.selected_alpn_protocol() == "h2":
                    tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5))
                    answered = tls.recv(9)[3:4] == b"\4"
                else:
                    tls.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    answered = tls.recv(12) == b"HTTP/1.1 200"
                return ("served", *details) if answered else ("closed", *details)
    except ssl.SSLError as error:
        return ("refused", re.sub(r"^(SSLV3|TLSV1|TLSV13)_ALERT_", "ALERT ", error.reason or "EOF"))
    except OSError as error:
        return ("closed", type(error).__name__)


class AgainstEtcd(TLSCase):
    """The same handshakes with the server under test and with real etcd."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not peers.etcd():
            raise unittest.SkipTest("no real etcd in the cache")
        c = cls.certificates
        for name, key in KEYS.items():
            c.leaf(f"client-{name}", key=key)
        c.leaf("stranger", by="ca2")
        c.leaf("expired", days=-1)
        c.leaf("server-only", usage="serverAuth")
        c.leaf("nameless", common_name="", names="")
        c.authority("intermediate", by="ca1")
        c.leaf("alone", by="intermediate")
        c.leaf("chained", by="intermediate")
        c.bundle("chained.crt", "chained.crt", "intermediate.crt")
        c.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "self.key", "-out", "self.crt",
              "-subj", "/CN=self", "-days", "3")

    def both(self, *flags, **options):
        real = SecureServer(self.certificates, *flags, binary=peers.etcd(), **options)
        self.addCleanup(real.close)
        return self.start(*flags, **options), real.start()

    def compare(self, servers, attempts, differences=()):
        """Every attempt, by name a dictionary of arguments, comes out the same, but for those listed."""
        tested, real = ({name: attempt(("127.0.0.1", server.client_port), self.certificates, **arguments)
                         for name, arguments in attempts.items()} for server in servers)
        for name in differences:
            self.assertEqual(tested[name][0] == "served", real[name][0] == "served", name)
            tested.pop(name), real.pop(name)
        self.assertEqual(tested, real)
        return tested

    def test_client_certificates(self):
        names = ["good", *(f"client-{key}" for key in KEYS), "stranger", "expired", "server-only", "nameless", "alone", "chained",
                 "self", None]
        attempts = {f"{name} {version.name}": {"name": name, "version": version}
                    for name in names for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)}
        # Where the certificate is good but not for this, Go says "bad", BoringSSL which way. A certificate that is
        # missing is "bad" to Go in TLS 1.2, a failed handshake to BoringSSL.
        servers = self.both()
        seen = self.compare(servers, attempts, ["server-only TLSv1_2", "server-only TLSv1_3", "None TLSv1_2"])
        self.assertEqual({name for name, outcome in seen.items() if outcome[0] == "served"},
                         {f"{name} {version}" for name in ["good", *(f"client-{key}" for key in KEYS), "nameless", "chained"]
                          for version in ("TLSv1_2", "TLSv1_3")})
        lines = [sorted((re.sub(r": current time.*", "", line["error"]), tuple(line.get("dns-names") or ()),
                         tuple(line.get("ip-addresses") or ())) for line in server.rejections()
                        # etcd's gateway connects to its own port.
                        if line["remote-addr"]) for server in servers]
        texts = [sorted({error for error, _, _ in side}) for side in lines]
        self.assertEqual(texts[0], texts[1])

    def test_without_client_certificates(self):
        servers = self.both(mutual=False)
        self.compare(servers, {
            "none": {}, "unasked": {"name": "stranger"}, "by another name": {"server_name": "127.0.0.1"}})

    def test_versions_and_protocols(self):
        servers = self.both(mutual=False)
        versions = {version.name: {"version": version} for version in
                    (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)}
        protocols = {"h2": {"protocols": ["h2"]}, "both": {"protocols": ["http/1.1", "h2"]}, "h1": {"protocols": ["http/1.1"]}}
        # etcd's server offers h2 alone, and answers a client that wants http/1.1 without naming a protocol.
        self.compare(servers, {**versions, **protocols}, ["h1"])
        for flags, served in ((["--tls-min-version=TLS1.3"], {"TLSv1_3"}), (["--tls-max-version=TLS1.2"], {"TLSv1_2"})):
            seen = self.compare(self.both(*flags, mutual=False), versions)
            self.assertEqual({name for name, outcome in seen.items() if outcome[0] == "served"}, served)

    def test_cipher_suites(self):
        suites = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
                  "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-ECDSA-AES128-SHA256", "AES128-SHA", "AES128-GCM-SHA256"]
        attempts = {suite: {"ciphers": suite, "version": ssl.TLSVersion.TLSv1_2} for suite in suites}
        attempts["1.3"] = {"version": ssl.TLSVersion.TLSv1_3}
        attempts["any"] = {}
        self.compare(self.both(mutual=False), attempts)
        # etcd does not start without a suite that HTTP/2 demands; martlet does.
        flags = ["--cipher-suites", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
        seen = self.compare(self.both(*flags, mutual=False), attempts)
        self.assertEqual({name for name, outcome in seen.items() if outcome[0] == "served"},
                         {"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "1.3", "any"})

    def test_revoked(self):
        self.certificates.leaf("revoked", serial=0xff01)
        self.certificates.revoke(0xff01, 17)
        # Before 3.7 etcd's gateway is let in by the server's own certificate.
        servers = self.both("--client-crl-file", self.certificates.path("crl.der"))
        self.compare(servers, {"good": {"name": "good"}, "revoked": {"name": "revoked", "version": ssl.TLSVersion.TLSv1_2}},
                     ["revoked"])
        for server in servers:
            self.eventually(lambda: any(
                line["error"] == "transport: certificate serial ff01 revoked" for line in server.rejections()))

    def test_host_names(self):
        self.certificates.leaf("right", names="DNS:*.right.example")
        self.certificates.leaf("wrong", names="DNS:wrong.example")
        servers = self.both("--client-cert-allowed-hostname", "a.right.example") if peers.version(peers.etcd()) >= (3, 6) else \
            [self.start("--client-cert-allowed-hostname", "a.right.example")] * 2
        self.compare(servers, {"right": {"name": "right"}, "wrong": {"name": "wrong"}}, ["wrong"])

    def test_common_names(self):
        """The clients' allowed names have no flag, only a place in a configuration file."""
        self.certificates.leaf("allowed", common_name="allowed")
        self.certificates.leaf("other", common_name="other")
        path = self.certificates.path
        servers = []
        for binary in (peers.server(), peers.etcd() if peers.version(peers.etcd()) >= (3, 6) else peers.server()):
            server = Server(binary=binary)
            self.addCleanup(server.close)
            own = dict(zip(*[iter(server.own_flags())] * 2))
            text = {name[2:]: value.replace("http://" + server.address, "https://" + server.address) for name, value in own.items()}
            text["client-transport-security"] = {
                "cert-file": path("server.crt"), "key-file": path("server.key"), "trusted-ca-file": path("clients.crt"),
                "client-cert-auth": True, "allowed-cn": ["allowed", "somebody"]}
            file = server.work / "config.json"
            file.write_text(json.dumps(text))
            server.own_flags = lambda file=file: ["--config-file", str(file)]
            servers.append(server.start())
        outcomes = self.compare(servers, {"allowed": {"name": "allowed"}, "other": {"name": "other"}}, ["other"])
        self.assertEqual(outcomes["allowed"][0], "served")
        self.assertNotEqual(attempt(("127.0.0.1", servers[0].client_port), self.certificates, "other")[0], "served")

    def test_refusals_to_start(self):
        """What is wrong with the flags is said in the same words, with the same status."""
        c = self.certificates
        pair = ["--cert-file", c.path("server.crt"), "--key-file", c.path("server.key")]
        cases = [
            [], ["--cert-file", c.path("server.crt")], ["--cert-file", "/nope", "--key-file", c.path("server.key")],
            ["--cert-file", c.path("server.crt"), "--key-file", c.path("good.key")],
            [*pair, "--trusted-ca-file", "/nope"], [*pair, "--cipher-suites", "NOPE"], [*pair, "--tls-min-version", "TLS1.1"],
            [*pair, "--tls-min-version", "TLS1.3", "--tls-max-version", "TLS1.2"],
            [*pair, "--client-cert-file", c.path("good.crt")], ["--auto-tls", "--self-signed-cert-validity", "0"],
        ]
        for flags in cases:
            errors = []
            for binary in (peers.server(), peers.etcd()):
                server = Server(*flags, binary=binary)
                self.addCleanup(server.close)
                own = [flag.replace("http://", "https://") if flag == server.url else flag for flag in server.own_flags()]
                server.own_flags = lambda own=own: own
                server.spawn()
                self.assertEqual(server.process.wait(20), 1, flags)
                server._reader.join(5)
                # Behind its last words etcd's other goroutines may still say something.
                last = next(entry for entry in reversed(server.entries()) if "error" in entry)
                errors.append((last["level"], last["error"].replace(server.address, "ADDRESS")))
            self.assertEqual(errors[0], errors[1], flags)


class Clients(TLSCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = SecureServer(cls.certificates).start()
        cls.addClassCleanup(cls.server.close)

    def tls_flags(self):
        path = self.certificates.path
        return ["--cacert", path("ca1.crt"), "--cert", path("good.crt"), "--key", path("good.key")]

    def test_etcdctl(self):
        found = [binary for binary in (peers.etcdctl(), peers.old_etcdctl(), peers.debian_etcdctl()) if binary]
        self.assertTrue(found)
        for number, binary in enumerate(found):
            def ctl(*arguments, flags=self.tls_flags()):
                return run([binary, "--endpoints", self.server.url, *flags, *arguments],
                           env={"ETCDCTL_API": "3", "PATH": os.environ["PATH"]}, timeout=30)
            self.assertEqual(ctl("put", f"ctl{number}", "value").stdout, "OK\n")
            self.assertEqual(ctl("get", f"ctl{number}").stdout, f"ctl{number}\nvalue\n")
            self.assertEqual(ctl("endpoint", "health").returncode, 0)
            unverified = ["--insecure-skip-tls-verify", *self.tls_flags()[2:]]
            self.assertEqual(ctl("get", f"ctl{number}", "--print-value-only", flags=unverified).stdout, "value\n")
            refused = ctl("--command-timeout=2s", "--dial-timeout=2s", "get", "x", flags=self.tls_flags()[:2])
            self.assertNotEqual(refused.returncode, 0)

    def test_grpcio(self):
        with self.server.client() as client:
            large = os.urandom(1_400_000)
            client.put(b"large", large)
            self.assertEqual(client.get(b"large").value, large)
            with client.watch() as watch:
                watch.create(key=b"watched")
                client.put(b"watched", b"1")
                self.assertEqual(watch.events(1)[0].kv.value, b"1")
        with self.server.client(None) as client, self.fails(grpc.StatusCode.UNAVAILABLE):
            client.put(b"a", b"b")

    def test_many_puts_and_a_long_list(self):
        with self.server.client() as client:
            pending = [client.stub("KV.Put").future(client_request(client, i), timeout=30) for i in range(2000)]
            for call in pending:
                call.result()
            answer = client.range(b"many/", b"many0")
            self.assertEqual(answer.count, 2000)
            self.assertEqual(len(answer.kvs[1999].value), 2000)

    def test_curl(self):
        for flag, version in (("--http1.1", "1.1"), ("--http2", "2")):
            done = run(["curl", "-sS", flag, *self.tls_flags(), "-w", " %{http_version}", f"{self.server.url}/health"], check=True)
            self.assertEqual(done.stdout, '{"health":"true","reason":""} ' + version)
            # A host that is not in the whitelist does not matter under TLS, but it does for the certificate.
            done = run(["curl", "-sS", flag, *self.tls_flags(), "-H", "Host: elsewhere", f"{self.server.url}/version"], check=True)
            self.assertIn("etcdserver", done.stdout)

    def test_openssl(self):
        path = self.certificates.path
        done = subprocess.run(
            ["openssl", "s_client", "-connect", self.server.address, "-alpn", "h2", "-CAfile", path("ca1.crt"), "-cert",
             path("good.crt"), "-key", path("good.key")], input=b"", capture_output=True, timeout=20)
        text = done.stdout.decode()
        for expected in ("ALPN protocol: h2", "Verify return code: 0 (ok)", "TLSv1.3", "Acceptable client certificate CA names\nCN = ca1"):
            self.assertIn(expected, text)

    @unittest.skipUnless(ACTIVE, "a resumed session is refused by some of etcd's builds")
    def test_resumed_session(self):
        """A session that is taken up again is as good as the first; not for a client without a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.certificates.path("ca1.crt"))
        context.load_cert_chain(self.certificates.path("good.crt"), self.certificates.path("good.key"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        session = None
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", self.server.client_port), 10) as raw, \
                    context.wrap_socket(raw, server_hostname="localhost", session=session) as tls:
                tls.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                self.assertEqual(tls.recv(12), b"HTTP/1.1 200")
                session = tls.session

    @unittest.skipUnless(ACTIVE, "etcd has no such metrics")
    def test_metrics(self):
        done = run(["curl", "-sS", *self.tls_flags(), f"{self.server.url}/metrics"], check=True).stdout
        self.assertRegex(done, r'martlet_tls_handshakes_total\{outcome="admitted",side="client"\} [1-9]')
        self.assertRegex(done, r'martlet_tls_certificate_expiry_timestamp_seconds\{side="client"\} 1\.\d+e\+09')

    @since(3, 7)
    def test_user_by_certificate(self):
        """With authentication on, the common name is the user."""
        server = self.start()
        self.certificates.leaf("alice")
        with server.client() as root, server.client("alice") as alice:
            for name in ("root", "alice"):
                root.call("Auth.UserAdd", name=name, options={"no_password": True})
            root.call("Auth.UserGrantRole", user="root", role="root")
            root.call("Auth.AuthEnable")
            root.put(b"a", b"1")
            with self.fails(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied"):
                alice.put(b"a", b"2")
            self.assertEqual([user for user in root.call("Auth.UserList").users], ["alice", "root"])


def client_request(client, number):
    from harness import api
    return api.METHODS["KV.Put"].request(key=b"many/%05d" % number, value=bytes(2000))


class Listeners(TLSCase):
    def test_http_and_https_on_one_port(self):
        server = self.start(scheme="http", mutual=False)
        server.stop()
        own = server.own_flags()
        own[own.index("--listen-client-urls") + 1] += f",https://{server.address}"
        server.own_flags = lambda: own
        server.start()
        path = self.certificates.path
        for scheme in ("http", "https"):
            for flag in ("--http1.1", "--http2"):
                done = run(["curl", "-sS", flag, "--cacert", path("ca1.crt"), f"{scheme}://{server.address}/health"], check=True)
                self.assertEqual(done.stdout, '{"health":"true","reason":""}')
            ctl = run([peers.etcdctl(), "--endpoints", f"{scheme}://{server.address}", "--cacert", path("ca1.crt"), "put", "a", scheme])
            self.assertEqual(ctl.stdout, "OK\n", ctl.stderr)
        messages = [line["msg"] for line in server.entries()]
        self.assertIn("serving client traffic insecurely; this is strongly discouraged!", messages)
        self.assertIn("serving client traffic securely", messages)
        self.assertIn("starting with client TLS", messages)

    def test_plain_text_on_a_tls_port(self):
        server = self.start(mutual=False)
        done = run(["curl", "-sS", "--max-time", "5", f"http://{server.address}/health"])
        self.assertNotIn("true", done.stdout)
        self.eventually(lambda: any(line["error"] == "tls: first record does not look like a TLS handshake" for line in server.rejections()))

    def test_unixs(self):
        work = tempfile.mkdtemp(prefix="martlet-unixs-")
        self.addCleanup(shutil.rmtree, work, ignore_errors=True)
        name = f"localhost:{free_port()}"
        server = SecureServer(self.certificates, work=work)
        self.addCleanup(server.close)
        own = server.own_flags()
        own[own.index("--listen-client-urls") + 1] = f"unixs://{name}"
        own[own.index("--advertise-client-urls") + 1] = f"unixs://{name}"
        server.own_flags = lambda: own
        server.start()
        self.assertEqual(attempt(f"{work}/{name}", self.certificates, "good", family=socket.AF_UNIX)[0], "served")
        self.assertEqual(attempt(f"{work}/{name}", self.certificates, None, family=socket.AF_UNIX)[0], "refused")
        path = self.certificates.path
        ctl = run([peers.etcdctl(), "--endpoints", f"unixs://{name}", "--cacert", path("ca1.crt"), "--cert", path("good.crt"),
                   "--key", path("good.key"), "put", "a", "b"], cwd=work)
        self.assertEqual(ctl.stdout, "OK\n", ctl.stderr)

    def test_metrics_over_https(self):
        """The addresses of those who ask for metrics are compared with their certificates."""
        port = free_port()
        server = self.start("--listen-metrics-urls", f"https://127.0.0.1:{port}")
        path = self.certificates.path

        def ask(name):
            return run(["curl", "-sS", "--cacert", path("ca1.crt"), "--cert", path(f"{name}.crt"), "--key", path(f"{name}.key"),
                        f"https://127.0.0.1:{port}/metrics"])
        self.assertIn("etcd_server_has_leader 1", ask("server").stdout)
        self.assertNotIn("etcd_server_has_leader", ask("good").stdout)
        self.eventually(lambda: any(
            line["error"].startswith('tls: "127.0.0.1" does not match any of DNSNames ["client.example"]') and
            line["dns-names"] == ["client.example"] for line in server.rejections()))

    def test_peers_over_https(self):
        path = self.certificates.path
        server = Server("--peer-cert-file", path("server.crt"), "--peer-key-file", path("server.key"), "--peer-trusted-ca-file",
                        path("ca1.crt"), "--peer-client-cert-auth")
        self.addCleanup(server.close)
        own = [flag.replace(server.peer_url, server.peer_url.replace("http", "https")) for flag in server.own_flags()]
        server.own_flags = lambda: own
        server.start()
        url = server.peer_url.replace("http", "https")

        def ask(name, what):
            return run(["curl", "-sS", "--cacert", path("ca1.crt"), "--cert", path(f"{name}.crt"), "--key", path(f"{name}.key"),
                        url + what])
        self.assertIn("etcdserver", ask("server", "/version").stdout)
        self.assertEqual(json.loads(ask("server", "/members").stdout)[0]["peerURLs"], [url])
        self.assertEqual(ask("good", "/version").stdout, "")
        self.eventually(lambda: any(line["msg"] == "rejected connection on peer endpoint" for line in server.entries()))

    def test_auto_tls(self):
        server = Server("--auto-tls", "--self-signed-cert-validity", "2")
        self.addCleanup(server.close)
        own = [flag.replace("http://" + server.address, "https://" + server.address) for flag in server.own_flags()]
        server.own_flags = lambda: own
        server.start()
        fixtures = server.data_dir / "fixtures/client"
        self.assertEqual((fixtures / "key.pem").stat().st_mode & 0o777, 0o600)
        self.assertIn("BEGIN EC PRIVATE KEY", (fixtures / "key.pem").read_text())
        text = run(["openssl", "x509", "-noout", "-text", "-in", str(fixtures / "cert.pem")], check=True).stdout
        for expected in ("Subject: O = etcd", "Issuer: O = etcd", "secp521r1", "ecdsa-with-SHA512", "IP Address:127.0.0.1",
                         "CA:TRUE", "Digital Signature, Key Encipherment, CRL Sign", "TLS Web Server Authentication"):
            self.assertIn(expected, text)
        begin, end = (run(["openssl", "x509", "-noout", f"-{which}date", "-in", str(fixtures / "cert.pem")]).stdout.split("=")[1]
                      for which in ("start", "end"))
        self.assertEqual(ssl.cert_time_to_seconds(end.strip()) - ssl.cert_time_to_seconds(begin.strip()), 2 * 365 * 86400)
        messages = [line["msg"] for line in server.entries()]
        for expected in ("automatically generate certificates", "created cert file", "created key file"):
            self.assertIn(expected, messages)
        for flags in (["--insecure-skip-tls-verify"], ["--cacert", str(fixtures / "cert.pem")]):
            ctl = run([peers.etcdctl(), "--endpoints", f"https://{server.address}", "--insecure-transport=false", *flags, "put", "a", "b"])
            self.assertEqual(ctl.stdout, "OK\n", ctl.stderr)
        before = (fixtures / "cert.pem").read_bytes()
        server.stop()
        server.start()
        self.assertEqual((fixtures / "cert.pem").read_bytes(), before)
        if not ACTIVE:
            return
        # One that has expired is replaced.
        server.stop()
        self.certificates.leaf("old", days=-1)
        for name, file in (("old.crt", "cert.pem"), ("old.key", "key.pem")):
            shutil.copy(self.certificates.path(name), fixtures / file)
        server.start()
        self.assertIn("secp521r1", run(["openssl", "x509", "-noout", "-text", "-in", str(fixtures / "cert.pem")]).stdout)


class Load(threading.Thread):
    """Puts one after the other on one connection, until told to stop; an error ends it."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.count, self.error, self._ends = client, 0, None, threading.Event()
        self.start()

    def run(self):
        try:
            while not self._ends.is_set():
                self.client.put(b"load", b"%d" % self.count)
                self.count += 1
        except Exception as error:
            self.error = error

    def end(self):
        self._ends.set()
        self.join(30)
        self.client.close()


class Rotation(TLSCase):
    """Files that change while clients are connected: new handshakes use the new ones, connections stay."""

    def setUp(self):
        self.certificates = certificates()
        self.addCleanup(self.certificates.close)

    def served_by(self, server, name="good", authority="ca1.crt", seconds=5):
        try:
            with server.client(name, authority) as client:
                client.put(b"probe", b"1", timeout=seconds)
                return True
        except grpc.RpcError:
            return False

    def test_certificate(self):
        """etcd too reads these at each handshake."""
        server = self.start()
        load = Load(server.client())
        self.addCleanup(load.end)
        self.eventually(lambda: load.count > 20)
        for authority in ("ca2", "ca1", "ca2"):
            self.certificates.leaf("server", by=authority)
            self.assertTrue(self.served_by(server, authority=f"{authority}.crt"))
            self.assertFalse(self.served_by(server, authority=f"ca{3 - int(authority[2])}.crt"))
        at = load.count
        self.eventually(lambda: load.count > at + 20)
        self.assertIsNone(load.error)

    @unittest.skipUnless(ACTIVE, "etcd reads its authorities at start only")
    def test_authority(self):
        server = self.start()
        self.certificates.leaf("new", by="ca2")
        load = Load(server.client())
        self.addCleanup(load.end)
        for bundle, good, new in ((["ca1.crt"], True, False), (["ca1.crt", "ca2.crt"], True, True), (["ca2.crt"], False, True)):
            self.certificates.bundle("clients.crt", *bundle)
            self.assertEqual((self.served_by(server), self.served_by(server, "new")), (good, new), bundle)
        at = load.count
        self.eventually(lambda: load.count > at + 20)
        self.assertIsNone(load.error)

    @unittest.skipUnless(ACTIVE, "etcd refuses everybody while a file is broken")
    def test_broken_files(self):
        server = self.start()
        for file in ("server.crt", "server.key", "clients.crt"):
            saved = pathlib.Path(self.certificates.path(file)).read_text()
            for broken in ("", "nonsense\n", saved[:len(saved) // 2]):
                self.certificates.replace(file, broken)
                self.assertTrue(self.served_by(server), (file, broken))
            self.certificates.replace(file, saved)
            self.assertTrue(self.served_by(server))
        failures = [line for line in server.entries() if line["msg"].startswith("failed to reload TLS files")]
        self.assertEqual(len(failures), 9)
        metrics = run(["curl", "-sS", "--cacert", self.certificates.path("ca1.crt"), "--cert", self.certificates.path("good.crt"),
                       "--key", self.certificates.path("good.key"), f"{server.url}/metrics"], check=True).stdout
        self.assertIn('martlet_tls_reloads_total{outcome="failed",side="client"} 9', metrics)
        self.assertIn('martlet_tls_reloads_total{outcome="ok",side="client"} 3', metrics)

    @unittest.skipUnless(ACTIVE, "before 3.7 etcd's own client needs to be in order")
    def test_revocation_list(self):
        self.certificates.leaf("good", serial=77)
        self.certificates.revoke(5)
        server = self.start("--client-crl-file", self.certificates.path("crl.pem"))
        self.assertTrue(self.served_by(server))
        self.certificates.revoke(5, 77)
        self.assertFalse(self.served_by(server))
        self.certificates.revoke(5)
        self.assertTrue(self.served_by(server))

    @unittest.skipUnless(ACTIVE, "the limit of handshakes is martlet's")
    def test_stalled_handshakes(self):
        """Clients that begin and do not go on do not keep others out, nor for long a place."""
        server = self.start()
        stalled = []
        self.addCleanup(lambda: [peer.close() for peer in stalled])
        for number in range(1500):
            peer = socket.create_connection(("127.0.0.1", server.client_port))
            peer.send(b"\x16\x03\x01\x02\x00\x01" if number % 2 else b"\x16")
            stalled.append(peer)
        self.assertTrue(self.served_by(server, seconds=20))
        self.assertTrue(any(line["error"] == "too many TLS handshakes" for line in server.rejections()))
        self.eventually(lambda: any("i/o timeout" in line["error"] for line in server.rejections()), 30)


class Kubernetes(TLSCase):
    """API servers with mutual TLS, as kubeadm sets them up; certificates change under them."""

    def serve(self, kube):
        binary = f"{'kube' if kube else 'test'}-apiserver"
        if not (peers.PEERS / "bin" / binary).exists():
            self.skipTest(f"no {binary} in the cache")
        own = certificates()
        self.addCleanup(own.close)
        # kubeadm's: RSA keys; the server's certificate is the peers' too; the client's is named kube-apiserver-etcd-client.
        own.leaf("server", key=KEYS["rsa"], names="DNS:localhost,DNS:node,IP:127.0.0.1,IP:::1")
        own.leaf("good", key=KEYS["rsa"], common_name="kube-apiserver-etcd-client", names="", usage="clientAuth")
        server = SecureServer(own)
        self.addCleanup(server.close)
        server.start()
        work = tempfile.mkdtemp(prefix="martlet-kube-tls-")
        self.addCleanup(shutil.rmtree, work, ignore_errors=True)
        api = ApiServer(server.url, work, free_port(), kube, f"--etcd-cafile={own.path('ca1.crt')}",
                        f"--etcd-certfile={own.path('good.crt')}", f"--etcd-keyfile={own.path('good.key')}")
        self.addCleanup(api.close)
        return server, own, api

    def everyday(self, kube):
        server, own, api = self.serve(kube)
        api.kubectl("create", "namespace", "tls")
        for number in range(3):
            api.kubectl("create", "configmap", f"c{number}", "-n", "tls", f"--from-literal=a={number}")
        own.leaf("server", key=KEYS["rsa"])
        own.leaf("good", key=KEYS["rsa"], names="", usage="clientAuth")
        api.kubectl("label", "configmap", "c1", "-n", "tls", "with=label")
        names = api.kubectl("get", "configmaps", "-n", "tls", "-l", "with=label", "-o", "name").stdout
        self.assertEqual(names, "configmap/c1\n")
        if not kube:
            return
        # A restarted store: every connection of the API server is made anew, with the new certificates.
        server.stop()
        server.start()
        self.eventually(lambda: api.kubectl("create", "configmap", "later", "-n", "tls", check=False).returncode == 0, 40)
        self.assertIn("configmap/later", api.kubectl("get", "configmaps", "-n", "tls", "-o", "name").stdout)
        self.assertEqual([line for line in server.rejections() if line["error"] != "EOF"], [])

    def test_current(self):
        self.everyday(False)

    def test_complete(self):
        self.everyday(True)
