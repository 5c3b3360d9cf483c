"""The base of the suites' test cases."""

import contextlib
import subprocess
import unittest

import grpc

from . import peers
from .client import Client
from .server import Server

Code = grpc.StatusCode


def since(*wanted):
    """Skips a test of what came with a version, when the server under test is an older etcd."""
    def decorate(test):
        have = peers.version(peers.server())
        text = ".".join(map(str, wanted))
        return unittest.skipIf(have[:len(wanted)] < wanted, f"since {text}; this server is {'.'.join(map(str, have))}")(test)
    return decorate


def flag(name):
    """A flag that was called --experimental-NAME before etcd 3.6."""
    return f"--{name}" if peers.version(peers.server()) >= (3, 6) else f"--experimental-{name}"


class Case(unittest.TestCase):
    maxDiff = 4000

    @contextlib.contextmanager
    def fails(self, code, text=None, contains=None):
        """The block must end in this gRPC status."""
        try:
            yield
        except grpc.RpcError as error:
            self.assertEqual((error.code(), error.details() if text is not None else None), (code, text), error.details())
            if contains is not None:
                self.assertIn(contains, error.details())
            return
        self.fail(f"no error; expected {code} {text or contains}")


class SharedServer(Case):
    """One server for all tests of a class; each test has keys of its own (`self.k`) on it."""

    FLAGS = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.FLAGS).start()
        cls.addClassCleanup(cls.server.close)
        cls.client = Client(cls.server.address)
        cls.addClassCleanup(cls.client.close)

    def setUp(self):
        self.prefix = (self.id().rsplit(".", 1)[1] + "/").encode()

    def k(self, name=b""):
        """A key of this test."""
        return self.prefix + (name if isinstance(name, bytes) else str(name).encode())


def run(command, *, input=None, env=None, timeout=60, check=False, cwd=None):
    """A command with its output as text."""
    done = subprocess.run(command, input=input, env=env, timeout=timeout, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL if input is None else None, cwd=cwd)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done
