"""A TCP proxy that stops in the middle: silent, or cut off, at a moment or after so many bytes."""

import socket
import struct
import threading

from .server import free_port


class Proxy:
    """Passes connections on to `target` (host:port). `freeze` and `cut` may be asked for now, or with `limit` after so many
    bytes to a client; new connections are then accepted and never answered, or refused."""

    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self._target = host, int(port)
        self._passes = threading.Event()
        self._passes.set()
        self._sockets = set()
        self._lock = threading.Lock()
        self._limit = None
        self.stopped = threading.Event()
        self.port = free_port()
        self._listener = None
        self._listen()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _listen(self):
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._sockets.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        self._passes.wait()
        try:
            server = socket.create_connection(self._target, 10)
        except OSError:
            return self._drop(client)
        with self._lock:
            self._sockets.add(server)
        for source, sink, counts in ((client, server, False), (server, client, True)):
            threading.Thread(target=self._pump, args=(source, sink, counts), daemon=True).start()

    def _pump(self, source, sink, counts):
        try:
            while data := source.recv(1 << 16):
                if counts and self._limit is not None:
                    self._limit[0] -= len(data)
                    if self._limit[0] <= 0:
                        action, self._limit = self._limit[1], None
                        action()
                self._passes.wait()
                sink.sendall(data)
        except OSError:
            pass
        finally:
            self._passes.wait()
            self._drop(source)
            self._drop(sink)

    def _drop(self, sock):
        with self._lock:
            self._sockets.discard(sock)
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        sock.close()

    def limit(self, count, action):
        """After so many bytes to clients, `action` (self.freeze or self.cut)."""
        self._limit = [count, action]

    def freeze(self):
        """Nothing passes any longer; connections stay open."""
        self._passes.clear()
        self.stopped.set()

    def thaw(self):
        """Old connections end, new ones are served."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            self._drop(sock)
        self._passes.set()

    def cut(self):
        """All connections are reset, and no new ones taken, until `restore`."""
        # Who waits in accept would keep the port taken.
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._acceptor.join(10)
        self._listener.close()
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
            self._drop(sock)
        self.stopped.set()

    def restore(self):
        self._listen()

    def close(self):
        self._passes.set()
        self.cut()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
