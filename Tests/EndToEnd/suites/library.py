"""PyPI's etcd3, a client library made for etcd 3.4, in an interpreter of its own: its generated code wants
protobuf's pure Python form."""

import os
import subprocess
import sys
import unittest

from harness.case import Case
from harness.server import Server

PROGRAM = r'''
import sys, threading, time
import etcd3
from etcd3 import events

client = etcd3.client(host="127.0.0.1", port=int(sys.argv[1]), timeout=10)

# Keys.
client.put("lib/a", "1")
assert client.get("lib/a")[0] == b"1"
assert client.get("lib/none") == (None, None)
client.put("lib/b", "2"); client.put("lib/c", "3")
assert [m.key for _, m in client.get_prefix("lib/")] == [b"lib/a", b"lib/b", b"lib/c"]
assert [v for v, _ in client.get_prefix("lib/", sort_order="descend")] == [b"3", b"2", b"1"]
assert [m.key for _, m in client.get_range("lib/a", "lib/c")] == [b"lib/a", b"lib/b"]
assert client.replace("lib/a", "1", "1a") is True
assert client.replace("lib/a", "1", "1b") is False
assert client.put_if_not_exists("lib/a", "x") is False
assert client.put_if_not_exists("lib/d", "4") is True
assert client.delete("lib/d") is True
assert client.delete("lib/d") is False

# Transactions.
ok, answers = client.transaction(
    compare=[client.transactions.value("lib/a") == "1a", client.transactions.version("lib/a") > 1,
             client.transactions.create("lib/none") == 0],
    success=[client.transactions.put("lib/t", "yes"), client.transactions.get("lib/a")],
    failure=[client.transactions.put("lib/t", "no")])
assert ok and answers[1][0][0] == b"1a"
assert client.get("lib/t")[0] == b"yes"

# Watches.
iterator, cancel = client.watch_prefix("lib/w")
client.put("lib/w1", "x"); client.put("lib/w1", "y"); client.delete("lib/w1")
got = [next(iterator) for _ in range(3)]
assert [type(e) for e in got] == [events.PutEvent, events.PutEvent, events.DeleteEvent], got
assert got[1].value == b"y"
cancel()
heard = threading.Event()
number = client.add_watch_callback("lib/callback", lambda response: heard.set())
client.put("lib/callback", "z")
assert heard.wait(10)
client.cancel_watch(number)

# Locks.
# (One that is held cannot be waited for: the library's retry does not fit the tenacity of today.)
for _ in range(2):
    lock = client.lock("lib-lock", ttl=20)
    assert lock.acquire(timeout=5) and lock.is_acquired() and lock.release()

# Leases.
lease = client.lease(100)
client.put("lib/leased", "v", lease=lease)
assert lease.granted_ttl == 100 and 90 < lease.remaining_ttl <= 100
assert [bytes(k) for k in lease.keys] == [b"lib/leased"]
assert list(lease.refresh())[0].TTL == 100
lease.revoke()
assert client.get("lib/leased") == (None, None)

# Cluster and maintenance.
assert len(list(client.members)) == 1
status = client.status()
assert status.version and status.db_size > 0 and status.leader is not None
client.compact(client.get("lib/a")[1].mod_revision)
assert list(client.list_alarms()) == []
print("all right")
'''


class Etcd3(Case):
    def test_program(self):
        try:
            import etcd3  # noqa: F401
        except ImportError:
            raise unittest.SkipTest("etcd3 is not installed (scripts/test does)")
        except TypeError:
            pass  # The reason for the interpreter of its own.
        with Server() as server:
            env = {"PATH": os.environ["PATH"], "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
            done = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM, str(server.client_port)],
                                  env=env, capture_output=True, text=True, timeout=120)
            self.assertEqual((done.returncode, done.stdout.strip()), (0, "all right"), done.stderr)
