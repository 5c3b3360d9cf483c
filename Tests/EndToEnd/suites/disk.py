"""A full disk: nothing acknowledged is lost, a line in the log says what happened, and with space it goes on."""

import os
import pathlib
import subprocess
import tempfile
import time
import unittest

import grpc

from harness.case import Case
from harness.client import Client
from harness.server import READY, Server, StartFailed


class SmallDisk:
    """A file system of its own, some MB large: needs root and mount."""

    def __init__(self, megabytes):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="martlet-disk-"))
        if os.geteuid() != 0:
            self.path.rmdir()
            raise unittest.SkipTest("only root can mount a small file system")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "martlet-e2e", str(self.path)],
                              capture_output=True, text=True)
        if done.returncode != 0:
            self.path.rmdir()
            raise unittest.SkipTest(f"no mount here: {done.stderr.strip()}")

    def grow(self, megabytes):
        subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(self.path)], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", str(self.path)], check=True)
        self.path.rmdir()


class Full(Case):
    def test_full_disk(self):
        """etcd dies of it (panic or fatal) or refuses; whichever: what it acknowledged is there afterwards."""
        # etcd preallocates 64 MB for each of two log files and 16 MB for its database.
        with SmallDisk(180) as disk:
            server = Server(data_dir=disk.path / "data")
            try:
                server.start()
                acked = {}
                with Client(server.address) as client:
                    failed = None
                    for i in range(4000):
                        key, value = b"k%05d" % i, os.urandom(100_000)
                        try:
                            client.put(key, value, timeout=10)
                        except grpc.RpcError as error:
                            failed = error
                            break
                        acked[key] = hash(value)
                    self.assertIsNotNone(failed, "the disk never got full")
                self.assertGreater(len(acked), 50)
                time.sleep(1)  # Its last lines.
                self.assertTrue(any("no space left" in line.lower() for line in server.lines), server.tail())
                server.kill()
                disk.grow(2000)
                server.start()
                with Client(server.address) as client:
                    client.call("Maintenance.Alarm", action=0)
                    found = {}
                    for key in acked:
                        kv = client.get(key)
                        self.assertIsNotNone(kv, f"{key} was acknowledged")
                        found[key] = hash(kv.value)
                    self.assertEqual(found, acked)
                    client.put(b"goes", b"on")
            finally:
                server.close()

    def test_start_on_a_full_disk_fails_clearly(self):
        with SmallDisk(1) as disk:
            (disk.path / "filler").write_bytes(b"x" * 1_000_000)
            server = Server(data_dir=disk.path / "data")
            try:
                with self.assertRaises(StartFailed):
                    server.start()
                self.assertNotEqual(server.wait(20), 0)
                self.assertFalse(any(READY in line for line in server.lines))
                self.assertTrue(any("no space left" in line.lower() for line in server.lines), server.tail())
            finally:
                server.close()
