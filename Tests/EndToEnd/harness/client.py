"""A gRPC client of the v3 API, thin enough that a test sees what goes over the wire."""

import queue
import threading
import time
import unittest

import grpc

from . import api, peers

DEADLINE = 20

#: What this version of martlet does not serve yet: a test that comes to such a call is skipped. Take out what
#: is served; anything else that is answered with Unimplemented is a failure.
NOT_SERVED = set()


def served(name):
    """Whether the server under test has the method."""
    return name not in NOT_SERVED or not peers.is_martlet(peers.server())


def _skip_if_not_served(name, error):
    if name in NOT_SERVED and error.code() is grpc.StatusCode.UNIMPLEMENTED and error.details().startswith("unknown "):
        raise unittest.SkipTest(f"martlet does not serve {name} yet") from None


class Client:
    """One connection. `client.put(key=b"k", value=b"v")`; any method as `client.call("KV.Range", request)`."""

    def __init__(self, address, options=(), credentials=None):
        options = [
            ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), *options]
        self.channel = grpc.secure_channel(address, credentials, options) if credentials else \
            grpc.insecure_channel(address, options)
        self._stubs = {}

    def stub(self, name):
        if name not in self._stubs:
            method = api.METHODS[name]
            make = {"unary": self.channel.unary_unary, "server-stream": self.channel.unary_stream,
                    "bidi-stream": self.channel.stream_stream}[method.kind]
            self._stubs[name] = make(method.path, request_serializer=method.request.SerializeToString,
                                     response_deserializer=method.response.FromString)
        return self._stubs[name]

    def call(self, name, request=None, /, *, timeout=DEADLINE, metadata=None, **fields):
        request = request if request is not None else api.METHODS[name].request(**fields)
        if api.METHODS[name].kind != "unary":
            return self._responses(name, self.stub(name)(request, timeout=timeout, metadata=metadata))
        try:
            return self.stub(name)(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            _skip_if_not_served(name, error)
            raise

    @staticmethod
    def _responses(name, call):
        try:
            yield from call
        except grpc.RpcError as error:
            _skip_if_not_served(name, error)
            raise

    def raw(self, path, body, *, timeout=DEADLINE, metadata=None):
        """A unary call of any path with any bytes; answers bytes."""
        return self.channel.unary_unary(path)(body, timeout=timeout, metadata=metadata)

    def range(self, key, range_end=b"", **fields):
        return self.call("KV.Range", key=key, range_end=range_end, **fields)

    def get(self, key, **fields):
        """The one KeyValue, or None."""
        kvs = self.call("KV.Range", key=key, **fields).kvs
        return kvs[0] if kvs else None

    def put(self, key, value=b"", **fields):
        return self.call("KV.Put", key=key, value=value, **fields)

    def delete(self, key, range_end=b"", **fields):
        return self.call("KV.DeleteRange", key=key, range_end=range_end, **fields)

    def txn(self, compare=(), success=(), failure=(), **options):
        return self.call("KV.Txn", api.TxnRequest(compare=compare, success=success, failure=failure), **options)

    def compact(self, revision, physical=False):
        return self.call("KV.Compact", revision=revision, physical=physical, timeout=60)

    def status(self):
        return self.call("Maintenance.Status")

    def revision(self):
        return self.status().header.revision

    def grant(self, ttl, lease_id=0):
        return self.call("Lease.LeaseGrant", TTL=ttl, ID=lease_id)

    def watch(self, metadata=None):
        return WatchStream(self, metadata)

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Stream:
    """A bidirectional stream: what is sent goes through a queue, what comes back is collected by a thread."""

    def __init__(self, client, name, metadata=None):
        self._outgoing = queue.Queue()
        self._incoming = queue.Queue()
        self.error = None
        self.call = client.stub(name)(iter(self._outgoing.get, None), metadata=metadata)
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self):
        try:
            for response in self.call:
                self._incoming.put(response)
        except grpc.RpcError as error:
            self.error = error
        self._incoming.put(None)

    def send(self, request):
        self._outgoing.put(request)

    def half_close(self):
        self._outgoing.put(None)

    def next(self, timeout=DEADLINE):
        """The next response; None when the stream has ended."""
        try:
            return self._incoming.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"nothing came in {timeout} s")

    def nothing(self, seconds):
        """Asserts that nothing comes for that long."""
        try:
            response = self._incoming.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"unexpected: {response}")

    def wait_end(self, timeout=DEADLINE):
        """Waits for the end of the stream; returns the error, or None when the status was OK."""
        deadline = time.monotonic() + timeout
        while self.next(max(0.01, deadline - time.monotonic())) is not None:
            pass
        return self.error

    def cancel(self):
        self.call.cancel()
        self._outgoing.put(None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cancel()


class WatchStream(_Stream):
    def __init__(self, client, metadata=None):
        super().__init__(client, "Watch.Watch", metadata)

    def create(self, key, range_end=b"", **fields):
        """Sends a create request and returns the answer to it (the stream has to be quiet)."""
        self.request_create(key, range_end, **fields)
        return self.next()

    def request_create(self, key, range_end=b"", **fields):
        self.send(api.WatchRequest(create_request=api.WatchCreateRequest(key=key, range_end=range_end, **fields)))

    def request_cancel(self, watch_id):
        self.send(api.WatchRequest(cancel_request=api.WatchCancelRequest(watch_id=watch_id)))

    def request_progress(self):
        self.send(api.WatchRequest(progress_request=api.WatchProgressRequest()))

    def events(self, count, timeout=DEADLINE, responses=None):
        """The next events, at least so many; every response before them has to carry events."""
        events, deadline = [], time.monotonic() + timeout
        while len(events) < count:
            response = self.next(max(0.01, deadline - time.monotonic()))
            if response is None:
                raise AssertionError(f"the stream ended ({self.error}) after {len(events)} of {count} events")
            if not response.events:
                raise AssertionError(f"not events: {response}")
            if responses is not None:
                responses.append(response)
            events.extend(response.events)
        return events


class KeepAlive(_Stream):
    def __init__(self, client, metadata=None):
        super().__init__(client, "Lease.LeaseKeepAlive", metadata)

    def renew(self, lease_id):
        self.send(api.LeaseKeepAliveRequest(ID=lease_id))
        return self.next()


# Short forms for the parts of transactions.

def op_put(key, value=b"", **fields):
    return api.RequestOp(request_put=api.PutRequest(key=key, value=value, **fields))


def op_range(key, range_end=b"", **fields):
    return api.RequestOp(request_range=api.RangeRequest(key=key, range_end=range_end, **fields))


def op_delete(key, range_end=b"", **fields):
    return api.RequestOp(request_delete_range=api.DeleteRangeRequest(key=key, range_end=range_end, **fields))


def op_txn(compare=(), success=(), failure=()):
    return api.RequestOp(request_txn=api.TxnRequest(compare=compare, success=success, failure=failure))


RESULTS = {"=": 0, ">": 1, "<": 2, "!=": 3}
TARGETS = {"version": 0, "create_revision": 1, "mod_revision": 2, "value": 3, "lease": 4}


def compare(key, target, result, operand, range_end=b""):
    """compare(b"k", "mod_revision", "=", 7)"""
    return api.Compare(key=key, range_end=range_end, target=TARGETS[target], result=RESULTS[result],
                       **{target: operand})


def prefix_end(prefix):
    """The end of the range that holds all keys with the prefix."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b"\0"
