"""Certificates for tests, made by the openssl program."""

import pathlib
import subprocess
import tempfile
import shutil

#: What a leaf is good for, when the test does not say.
BOTH = "serverAuth,clientAuth"
HERE = "IP:127.0.0.1,DNS:localhost"


class Certificates:
    """A directory of certificates: authorities `ca1` and `ca2`, and what is asked for. `path("name.crt")`."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="martlet-certs-"))
        for name in ("ca1", "ca2"):
            self.authority(name)

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return str(self.directory / name)

    def run(self, *command, input=None):
        done = subprocess.run(command, cwd=self.directory, input=input, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def authority(self, name, by=None):
        """An authority, signed by itself or by another one."""
        request = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                   "-keyout", f"{name}.key", "-subj", f"/CN={name}"]
        if by is None:
            self.run(*request, "-x509", "-days", "30", "-out", f"{name}.crt")
        else:
            self.run(*request, "-out", f"{name}.csr")
            self._sign(name, by, "basicConstraints=critical,CA:TRUE\n", 30, None)

    def leaf(self, name, by="ca1", common_name=None, names=HERE, usage=BOTH, key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
             days=20, serial=None):
        """`name.crt` and `name.key`. Files that are there are replaced, each at one moment."""
        self.run("openssl", "req", "-newkey", *key, "-nodes", "-keyout", f"{name}.key.new", "-out", f"{name}.csr",
                 "-subj", "/O=martlet" if common_name == "" else f"/O=martlet/CN={common_name or name}")
        lines = f"extendedKeyUsage={usage}\n" + (f"subjectAltName={names}\n" if names else "")
        self._sign(name, by, lines, days, serial)
        (self.directory / f"{name}.key.new").rename(self.directory / f"{name}.key")

    def _sign(self, name, by, extensions, days, serial):
        (self.directory / f"{name}.ext").write_text(extensions)
        number = ["-set_serial", str(serial)] if serial else ["-CAcreateserial"]
        self.run("openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.crt", "-CAkey", f"{by}.key", *number,
                 "-days", str(days), "-extfile", f"{name}.ext", "-out", f"{name}.crt.new")
        (self.directory / f"{name}.crt.new").rename(self.directory / f"{name}.crt")

    def bundle(self, name, *parts):
        """A file that has the content of others."""
        self.replace(name, "".join((self.directory / part).read_text() for part in parts))

    def replace(self, name, text):
        (self.directory / f"{name}.new").write_text(text)
        (self.directory / f"{name}.new").rename(self.directory / name)

    def revoke(self, *serials, by="ca1", out="crl"):
        """`crl.pem` and `crl.der` with these serial numbers."""
        lines = []
        for serial in serials:
            text = f"{serial:X}"
            lines.append(f"R\t330101000000Z\t250101000000Z\t{'0' * (len(text) % 2)}{text}\tunknown\t/CN=x\n")
        (self.directory / "index.txt").write_text("".join(lines))
        (self.directory / "crlnumber").write_text("01\n")
        (self.directory / "ca.conf").write_text(
            "[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\n")
        self.run("openssl", "ca", "-config", "ca.conf", "-gencrl", "-crldays", "30", "-keyfile", f"{by}.key",
                 "-cert", f"{by}.crt", "-out", f"{out}.pem.new")
        self.run("openssl", "crl", "-in", f"{out}.pem.new", "-outform", "DER", "-out", f"{out}.der.new")
        for form in ("pem", "der"):
            (self.directory / f"{out}.{form}.new").rename(self.directory / f"{out}.{form}")
