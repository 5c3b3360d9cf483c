"""Watch streams on both sides: what each watcher must get is known from one watcher of everything, so that the test
knows when all is there; then the responses are compared one by one."""

import time

from harness import api

PATH = api.METHODS["Watch.Watch"].path
SECONDS = 20
#: Bytes of a catch-up that martlet may cut differently: a megabyte, shared by up to four watchers here.
LARGE = 200_000


def wants(watcher, key):
    if not watcher.end:
        return key == watcher.key
    return key >= watcher.key and (watcher.end == b"\0" or key < watcher.end)


class Watcher:
    """What both sides were asked for."""

    def __init__(self, id, request, revision):
        self.id, self.request, self.created_at = id, request, revision
        self.key, self.end = request.key or b"\0", request.range_end
        self.start = request.start_revision or revision + 1
        self.filters = set(request.filters)
        self.seen = 0               # How far the history was gone through.
        self.expected = 0           # Events that must have come.
        self.ends = False           # Cancelled by a compaction.


class Stream:
    """One watch stream on both sides."""

    def __init__(self, pair, which):
        self.pair, self.which = pair, which
        self.calls = [side.connections[which].open(PATH) for side in pair.sides]
        self.watchers = {}
        self.future = False
        self.got = [[], []]         # Responses not yet compared.
        self.unanswered = [0, 0]    # Progress requests of each side beyond the answers: those may come late, or never.
        self.bookmarks = [{}, {}]   # Of each side: the last progress by watcher.
        self.closed = False

    def send(self, **union):
        body = api.WatchRequest(**union).SerializeToString()
        for side, call in zip(self.pair.sides, self.calls):
            side.connections[self.which].send(call, body)

    def take(self, index):
        """Files what has come on one side."""
        call, got = self.calls[index], self.got[index]
        while call.messages:
            got.append(api.WatchResponse.FromString(call.messages.popleft()))

    def until(self, done, what):
        """Reads on each side until `done(responses)`."""
        from .pair import Difference
        for index, side in enumerate(self.pair.sides):
            deadline = time.monotonic() + SECONDS
            while True:
                self.take(index)
                if done(self.got[index]):
                    break
                if self.calls[index].ended:
                    raise Difference(f"{side.name} ended the watch stream: {self.calls[index].code} {self.calls[index].text}")
                if time.monotonic() > deadline:
                    raise Difference(f"{side.name}: {what} did not come; there is {self.got[index][-5:]}")
                side.connections[self.which]._read(1)


class Streams:
    def __init__(self, pair):
        self.pair, self.open, self.history = pair, [], []
        self.everything = Stream(pair, 1)
        self.everything.send(create_request=api.WatchCreateRequest(key=b"\0", range_end=b"\0", prev_kv=True))
        self.everything.until(lambda got: got, "the answer to a create request")
        created = [got.pop(0) for got in self.everything.got]
        self.same(*created, "created")
        self.base = created[1].header.revision

    def differ(self, text):
        from .pair import Difference
        raise Difference(text)

    def same(self, one, two, what):
        if one != two:
            self.differ(f"{what}\nreal etcd: {two}\nunder test: {one}")

    # What has happened, by the watcher of everything.

    def catch_up(self, revision):
        """Takes the history up to a revision from the watcher of everything; both sides must tell the same."""
        stream, history = self.everything, self.history
        reached = history[-1][0] if history else self.base
        if reached >= revision:
            return
        while True:
            stream.until(lambda got: got and got[-1].header.revision >= revision, f"the event of revision {revision}")
            one, two = stream.got
            # What one side has told beyond must come from the other too.
            if one[-1].header.revision == two[-1].header.revision:
                break
            revision = max(one[-1].header.revision, two[-1].header.revision)
        stream.got = [[], []]
        if one != two:
            for a, b in zip(one, two):
                self.same(a, b, "an event of the watcher of everything")
            self.differ(f"{len(one)} responses under test, {len(two)} from real etcd: {one[-1:]} {two[-1:]}")
        for response in two:
            revisions = {event.kv.mod_revision for event in response.events}
            if revisions != {response.header.revision} or revisions == {reached}:
                self.differ(f"a live response is not of one revision: {response}")
            reached = response.header.revision
            history.append((reached, response.events))

    def expect(self, watcher):
        """Counts the events that must have come."""
        history = self.history
        while watcher.seen < len(history):
            revision, events = history[watcher.seen]
            watcher.seen += 1
            if revision >= watcher.start:
                watcher.expected += self.matching(watcher, events)

    def matching(self, watcher, events):
        return sum(1 for event in events if wants(watcher, event.kv.key) and event.type not in watcher.filters)

    # Steps.

    def create(self, generator, state):
        """Creates one or more watchers; those that look back are waited for."""
        r = generator.rng
        self.catch_up(state.revision)
        stream = r.choice(self.open) if self.open and (len(self.open) >= 3 or r.random() < 0.7) else None
        if stream is None:
            stream = Stream(self.pair, r.randrange(2))
            self.open.append(stream)
        self.settle_stream(stream, state)
        looking_back = []
        for _ in range(r.choice([1, 1, 1, 2, 4])):
            request = api.WatchCreateRequest(**generator.watch())
            future = request.start_revision > state.revision
            if not self.pair.progress_is_sound and state.compacted <= request.start_revision <= state.revision:
                request.start_revision = 0  # Nothing would tell when it has caught up.
            if future and (stream.watchers and not stream.future) or 0 < request.start_revision <= state.revision and stream.future:
                # Streams with a watcher of the future answer no progress requests, by which those that look back are
                # known to have caught up.
                request.start_revision = 0
            stream.future |= request.start_revision > state.revision
            watcher = self.create_on(stream, request, state)
            if watcher is not None and 0 < request.start_revision <= state.revision:
                looking_back.append(watcher)
        if looking_back:
            self.caught_up(stream, looking_back, state)
        return stream

    def create_on(self, stream, request, state):
        stream.send(create_request=request)
        # The answer comes before any event of the new one; those of others were waited for.
        stream.until(lambda got: any(response.created for response in got), f"the answer to {request}")
        answers = []
        for got in stream.got:
            index = next(i for i, response in enumerate(got) if response.created)
            answers.append(got.pop(index))
        self.same(*answers, f"the answer to\n{request}")
        if answers[1].canceled:
            return None
        watcher = Watcher(answers[1].watch_id, request, state.revision)
        while watcher.seen < len(self.history) and self.history[watcher.seen][0] < watcher.start:
            watcher.seen += 1
        stream.watchers[watcher.id] = watcher
        return watcher

    def caught_up(self, stream, watchers, state):
        """What those that look back get of the past, as one response or more."""
        for watcher in watchers:
            if watcher.start < state.compacted:
                watcher.ends = True
                continue
            # The history that the test knows may begin later than the watcher does.
            if watcher.start <= self.base:
                watcher.expected = None
            else:
                self.expect(watcher)
        ending = {watcher.id for watcher in watchers if watcher.ends}
        if ending:
            stream.until(lambda got: ending <= {r.watch_id for r in got if r.canceled}, f"the end of {ending}")
            # A watcher that a compaction has ended stays registered, and while it does progress is not answered.
            for id in ending:
                stream.send(cancel_request=api.WatchCancelRequest(watch_id=id))
            stream.until(lambda got: sum(r.canceled for r in got) >= 2 * len(ending), f"the answers to cancels of {ending}")
        self.progress(stream, state)
        for watcher in watchers:
            if watcher.expected is None:
                watcher.expected, watcher.seen = self.count(stream.got[1], watcher.id), len(self.history)
        self.compare(stream)
        for id in ending:
            del stream.watchers[id]

    @staticmethod
    def count(responses, id):
        return sum(len(r.events) for r in responses if r.watch_id == id)

    def progress(self, stream, state):
        """Asks for progress until there is an answer, which must name this revision."""
        if stream.future or all(watcher.ends for watcher in stream.watchers.values()):
            return
        if not self.pair.progress_is_sound:
            return
        answers = []
        for index, side in enumerate(self.pair.sides):
            connection, call, deadline = side.connections[stream.which], stream.calls[index], time.monotonic() + SECONDS
            body = api.WatchRequest(progress_request=api.WatchProgressRequest()).SerializeToString()
            asked = 0
            while True:
                connection.send(call, body)
                asked += 1
                pause = time.monotonic() + 0.02
                found = None
                while found is None and time.monotonic() < pause:
                    connection._read(max(0, pause - time.monotonic()))
                    stream.take(index)
                    found = next((r for r in stream.got[index] if r.watch_id == -1 and not r.created), None)
                    if found is not None and found.header.revision < state.revision and stream.unanswered[index]:
                        # To a request of an earlier time that was sent twice because its answer was slow.
                        stream.unanswered[index] -= 1
                        stream.got[index].remove(found)
                        found = None
                if found is not None:
                    break
                if call.ended or time.monotonic() > deadline:
                    self.differ(f"{side.name} answers no progress request; watchers {[str(w.request) for w in stream.watchers.values()]}")
            answers.append(found)
            stream.unanswered[index] += asked - 1
            stream.got[index] = [r for r in stream.got[index] if r.watch_id != -1 or r.created]
        self.same(*answers, "the answer to a progress request")
        if answers[1].header.revision != state.revision:
            self.differ(f"progress at {state.revision}: {answers[1]}")

    def settle_stream(self, stream, state):
        """Waits until all that must have come has come, and compares it."""
        self.catch_up(state.revision)
        waiting = False
        for watcher in stream.watchers.values():
            self.expect(watcher)
            waiting = waiting or watcher.expected
        if waiting:
            missing = {w.id: w.expected for w in stream.watchers.values() if w.expected}

            def done(got):
                counts = dict.fromkeys(missing, 0)
                for response in got:
                    if response.watch_id in counts:
                        counts[response.watch_id] += len(response.events)
                return all(counts[id] >= missing[id] for id in missing)
            stream.until(done, f"events {missing}")
        self.compare(stream)

    def compare(self, stream):
        """Compares all responses that have come, watcher by watcher."""
        sides = []
        for index in (0, 1):
            by_watcher = {}
            for response in stream.got[index]:
                if response.watch_id == -1 and not response.created:
                    continue  # A late answer to a progress request that was sent twice.
                watcher = stream.watchers.get(response.watch_id)
                if self.is_progress(response):
                    if watcher is None or not watcher.request.progress_notify:
                        self.differ(f"progress that nobody asked for: {response}")
                    stream.bookmarks[index][response.watch_id] = response.header.revision
                    continue
                if response.events and response.events[0].kv.mod_revision <= stream.bookmarks[index].get(response.watch_id, 0):
                    self.differ(f"an event that progress had left behind ({stream.bookmarks[index]}): {response}")
                by_watcher.setdefault(response.watch_id, []).append(response)
            stream.got[index] = []
            sides.append(by_watcher)
        if sides[0] != sides[1]:
            for id in sorted(sides[0].keys() | sides[1].keys()):
                one, two = sides[0].get(id, []), sides[1].get(id, [])
                if one != two and self.pieces(one, stream.watchers.get(id)) != self.pieces(two, stream.watchers.get(id)):
                    request = stream.watchers[id].request if id in stream.watchers else None
                    for a, b in zip(one, two):
                        self.same(a, b, f"watcher {id} {{\n{request}}}")
                    self.differ(f"watcher {id} {{\n{request}}}\nreal etcd: {two}\nunder test: {one}")
        for id, responses in sides[1].items():
            watcher = stream.watchers.get(id)
            if watcher is None:
                self.differ(f"responses for watcher {id}, which there is none of: {responses}")
            watcher.expected -= sum(len(response.events) for response in responses)
            if watcher.expected < 0:
                self.differ(f"watcher {id} {{\n{watcher.request}}} got more than it should: {responses}")

    def pieces(self, responses, watcher):
        """What holds of responses however a catch-up of many bytes is cut: etcd puts 1000 revisions into one response, of
        whatever size; martlet ends a response after a megabyte of events, counted for all watchers that catch up together."""
        if watcher is None or watcher.start > watcher.created_at or sum(response.ByteSize() for response in responses) < LARGE:
            return responses
        last = 0
        for response in responses:
            if response.events:
                if response.events[0].kv.mod_revision <= last and not watcher.request.fragment:
                    self.differ(f"a revision in two responses: {response}")
                last = response.events[-1].kv.mod_revision
                if response.header.revision < last:
                    self.differ(f"the header is behind the events: {response}")
        return [event for response in responses for event in response.events], [r for r in responses if not r.events]

    @staticmethod
    def is_progress(response):
        return not response.events and not response.created and not response.canceled and not response.fragment

    def cancel(self, generator, state):
        r = generator.rng
        if not self.open:
            return
        stream = r.choice(self.open)
        self.settle_stream(stream, state)
        if not stream.watchers or r.random() < 0.2:
            stream.send(cancel_request=api.WatchCancelRequest(watch_id=r.choice([55, -1, -7])))
            return
        id = r.choice(sorted(stream.watchers))
        stream.send(cancel_request=api.WatchCancelRequest(watch_id=id))
        stream.until(lambda got: any(response.canceled for response in got), f"the answer to a cancel of {id}")
        self.compare(stream)
        del stream.watchers[id]

    def settle(self, state):
        for stream in self.open:
            self.settle_stream(stream, state)
        self.catch_up(state.revision)

    def close_one(self, generator, state):
        if not self.open:
            return
        stream = self.open.pop(generator.rng.randrange(len(self.open)))
        self.settle_stream(stream, state)
        self.drop(stream)

    def close_all(self, state):
        self.settle(state)
        for stream in self.open:
            self.drop(stream)
        self.open = []
        # An answer may be behind what the call did (Campaign writes once more after it), and the event already here.
        self.base = max(state.revision, self.history[-1][0] if self.history else 0)
        self.history.clear()

    def drop(self, stream):
        for side, call in zip(self.pair.sides, stream.calls):
            side.connections[stream.which].cancel(call)
