"""OTLP: a real receiver (opentelemetry-proto on grpcio) gets the spans of sampled requests, under their callers' traces, and a receiver
that is away costs spans and nothing else."""

import concurrent.futures
import time
import unittest

import grpc

from harness import api
from harness.case import Case
from harness.client import Client, KeepAlive, compare, op_put, op_range
from harness.server import Server, free_port
from suites.logging import metric, wait_until

try:
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
    from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
except ImportError:
    trace_service_pb2 = None

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def parent(flags="01", trace=TRACE):
    return [("traceparent", f"00-{trace}-{CALLER}-{flags}"), ("tracestate", "vendor=x")]


class Receiver:
    """A collector that keeps what it gets."""

    def __init__(self, port=None):
        self.port = port or free_port()
        self.requests, self.refuse = [], None
        outer = self

        class Service(trace_service_pb2_grpc.TraceServiceServicer):
            def Export(self, request, context):
                if outer.refuse:
                    context.abort(outer.refuse, "not now")
                outer.requests.append(request)
                return trace_service_pb2.ExportTraceServiceResponse()

        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Service(), self.server)
        self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    @property
    def spans(self):
        return [span for request in list(self.requests) for resource in request.resource_spans for scope in resource.scope_spans
                for span in scope.spans]

    def servers(self, method=None):
        return [span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER and (method is None or span.name.endswith(method))]

    def close(self):
        self.server.stop(None).wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def flags(receiver, *more):
    return ("--enable-distributed-tracing", f"--distributed-tracing-address=127.0.0.1:{receiver.port}", *more)


def attributes(things):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in things}


@unittest.skipUnless(trace_service_pb2, "no opentelemetry-proto")
class Export(Case):
    def test_spans_of_a_callers_trace(self):
        with Receiver() as receiver:
            with Server(*flags(receiver, "--distributed-tracing-service-name=store", "--distributed-tracing-instance-id=one")) as server:
                with Client(server.address) as client:
                    client.call("KV.Put", key=b"/registry/pods/a", value=b"secret", metadata=parent())
                    client.call("KV.Range", key=b"/registry/pods/a", limit=3, metadata=parent())
                    client.call("KV.Range", key=b"not sampled", metadata=parent("00"))
                    client.put(b"without a parent", b"")
                    for broken in ("", "00-xyz", f"ff-{TRACE}-{CALLER}-01", f"00-{'0' * 32}-{CALLER}-01", f"00-{TRACE.upper()}-{CALLER}-01"):
                        client.call("KV.Put", key=b"broken parent", value=b"", metadata=[("traceparent", broken)])
                    with self.assertRaises(grpc.RpcError):
                        client.call("KV.Range", key=b"x", revision=1000, metadata=parent())
                wait_until(lambda: len(receiver.servers()) == 3)
                self.assertEqual(server.stop(), 143)
            request = receiver.requests[0]
            resource = attributes(request.resource_spans[0].resource.attributes)
            self.assertEqual((resource["service.name"], resource["service.instance.id"]), ("store", "one"))
            self.assertEqual(request.resource_spans[0].scope_spans[0].scope.name, "go.etcd.io/etcd")
            put, read, failed = receiver.servers()
            self.assertEqual([put.name, read.name], ["etcdserverpb.KV/Put", "etcdserverpb.KV/Range"])
            for span in (put, read, failed):
                self.assertEqual((span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state), (TRACE, CALLER, "vendor=x"))
            told = attributes(put.attributes)
            self.assertEqual((told["rpc.system"], told["rpc.service"], told["rpc.method"]), ("grpc", "etcdserverpb.KV", "Put"))
            self.assertEqual((told["rpc.grpc.status_code"], told["k8s.resource"], told["etcd.revision"]), (0, "pods", 2))
            self.assertEqual(attributes(failed.attributes)["rpc.grpc.status_code"], 11)
            self.assertLess(abs(put.start_time_unix_nano / 1e9 - time.time()), 60)
            children = {}
            for span in receiver.spans:
                self.assertGreaterEqual(span.end_time_unix_nano, span.start_time_unix_nano)
                children.setdefault(span.parent_span_id, []).append(span)
            self.assertEqual(len({span.span_id for span in receiver.spans}), len(receiver.spans))
            operation = next(span for span in children[put.span_id] if span.name == "put")
            self.assertEqual(attributes(operation.attributes), {"key": "/registry/pods/a"})
            steps = [span.name for span in children[operation.span_id]]
            self.assertEqual(steps, ["queued", "proposed", "appended", "fsynced", "committed", "applied", "encoded"])
            after = [span.name for span in children[put.span_id] if span.name != "put"]
            self.assertEqual(after, ["flow control wait", "flushed"])
            operation = next(span for span in children[read.span_id] if span.name == "range")
            self.assertEqual(attributes(operation.attributes),
                             {"range_begin": "/registry/pods/a", "range_end": "", "rev": 0, "limit": 3, "count_only": False, "keys_only": False})
            self.assertNotIn("secret", str(receiver.requests))

    def test_all_roots_at_a_million_per_million(self):
        with Receiver() as receiver, Server(*flags(receiver, "--distributed-tracing-sampling-rate=1000000")) as server:
            with Client(server.address) as client:
                client.txn([compare(b"k", "mod_revision", "=", 0)], [op_put(b"k", b"v")], [op_range(b"k")])
                client.grant(60)
                client.call("Cluster.MemberList")
            wait_until(lambda: len(receiver.servers()) == 3)
            self.assertEqual(len({span.trace_id for span in receiver.servers()}), 3)
            txn = next(span for span in receiver.spans if span.name == "txn")
            self.assertEqual(attributes(txn.attributes), {
                "compare_first_key": "k", "success_first_key": "k", "success_first_type": "put", "success_first_lease": 0,
                "compare_len": 1, "success_len": 1, "failure_len": 1, "read_only": False})

    def test_streams(self):
        """Streams of a traced caller have spans: those with one request when they end, of the others also what is asked on them, at once."""
        with Receiver() as receiver, Server(*flags(receiver)) as server, Client(server.address) as client:
            for number in range(50):
                client.put(b"/registry/pods/%02d" % number, b"secret" * 100)
            lease = client.grant(60).ID
            with client.watch(parent()) as watch, KeepAlive(client, parent()) as renewals, client.watch(parent("00")) as quiet:
                watch.create(b"/registry/pods/", b"/registry/pods0", start_revision=7, prev_kv=True)
                quiet.create(b"/registry/", b"/registry0")
                renewals.renew(lease)
                renewals.renew(lease)
                # They go on, and are told all the same.
                wait_until(lambda: {span.name for span in receiver.spans} == {"watch", "lease_renew"})
                self.assertEqual(receiver.servers(), [])
                chunks = list(client.call("KV.RangeStream", key=b"/registry/pods/", range_end=b"/registry/pods0", limit=40, metadata=parent()))
                self.assertTrue(chunks)
                for _ in client.call("Maintenance.Snapshot", metadata=parent()):
                    pass
            wait_until(lambda: {span.name for span in receiver.servers()} == {
                "etcdserverpb.Watch/Watch", "etcdserverpb.Lease/LeaseKeepAlive", "etcdserverpb.KV/RangeStream", "etcdserverpb.Maintenance/Snapshot"})
            self.assertEqual({(span.trace_id.hex(), span.trace_state) for span in receiver.spans}, {(TRACE, "vendor=x")})
            servers = {span.name.rsplit("/", 1)[1]: span for span in receiver.servers()}
            self.assertEqual(len(receiver.servers()), 4)
            self.assertTrue(all(span.parent_span_id.hex() == CALLER for span in servers.values()))
            children = {}
            for span in receiver.spans:
                self.assertGreaterEqual(span.end_time_unix_nano, span.start_time_unix_nano)
                children.setdefault(span.parent_span_id, []).append(span)
            created, = children[servers["Watch"].span_id][:1]
            self.assertEqual(attributes(created.attributes), {
                "key": "/registry/pods/", "range_end": "/registry/pods0", "start_rev": 7, "progress_notify": False, "prev_kv": True, "fragment": False})
            renewed = [span for span in children[servers["LeaseKeepAlive"].span_id] if span.name == "lease_renew"]
            self.assertEqual([attributes(span.attributes) for span in renewed], [{"id": lease}] * 2)
            ranged, = (span for span in children[servers["RangeStream"].span_id] if span.name == "range_streaming")
            self.assertEqual(attributes(ranged.attributes), {
                "range_begin": "/registry/pods/", "range_end": "/registry/pods0", "rev": 0, "limit": 40, "count_only": False})
            self.assertEqual([span.name for span in children[ranged.span_id]], ["queued", "ranged", "encoded"])
            told = attributes(servers["RangeStream"].attributes)
            self.assertEqual((told["k8s.resource"], told["etcd.revision"], told["rpc.grpc.status_code"]), ("pods", 51, 0))
            self.assertGreater(told["rpc.response.size"], 40 * 600)
            self.assertGreater(attributes(servers["Snapshot"].attributes)["rpc.response.size"], 10_000)
            self.assertNotIn("secret", str(receiver.requests))

    def test_a_receiver_that_goes_and_comes_back(self):
        """Requests are served at their pace meanwhile; the queue is bounded; spans flow again."""
        receiver = Receiver()
        port = receiver.port
        with Server(*flags(receiver, "--distributed-tracing-sampling-rate=1000000")) as server, Client(server.address) as client:
            client.put(b"first", b"")
            wait_until(lambda: receiver.servers("Put"))
            receiver.close()
            for calls in range(3):
                waiting = [client.stub("KV.Put").future(api.PutRequest(key=b"away/%d" % number)) for number in range(1000)]
                for call in waiting:
                    call.result(20)
            wait_until(lambda: metric(server, "martlet_trace_export_failures_total") > 0)
            wait_until(lambda: metric(server, "martlet_trace_requests_dropped_total") > 0)
            server.wait_for_line("failed to export traces")
            with Receiver(port) as receiver:
                client.put(b"back", b"")
                server.wait_for_line("traces are exported again", 40)
                wait_until(lambda: any(span.name.endswith("Put") for span in receiver.servers()))

    def test_off_nothing_is_sent(self):
        with Receiver() as receiver, Server(f"--distributed-tracing-address=127.0.0.1:{receiver.port}") as server, Client(server.address) as client:
            client.call("KV.Put", key=b"k", value=b"", metadata=parent())
            self.assertEqual(receiver.requests, [])
