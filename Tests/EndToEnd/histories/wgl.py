"""Linearizability of one register by search, as Wing, Gong and Lowe do: no knowledge of revisions. The cross-check of the
checker that has it."""

import collections

#: kind: "write" (argument: what is then there, None when deleted), "read" (result: what was there),
#: "cas" (argument: (expected, new); result: whether it took place). `returned` is None for what may take place at any later time.
Step = collections.namedtuple("Step", "kind argument result invoked returned")


def apply(state, step):
    """The state after a step, or a refusal (False, None) when the step could not have had its result then."""
    if step.kind == "write":
        return True, step.argument
    if step.kind == "read":
        return step.result == state, state
    expected, new = step.argument
    if step.result is None:     # Unknown.
        return True, new if state == expected else state
    return step.result == (state == expected), new if state == expected else state


def is_linearizable(steps, initial=None, limit=2_000_000):
    """Whether there is an order. None when the search is given up."""
    never = float("inf")
    steps = sorted(steps, key=lambda step: step.invoked)
    ends = [never if step.returned is None else step.returned for step in steps]
    must = sum(end != never for end in ends)
    # Each state of the search: which steps are placed (those before `base` all are), and the register's value.
    seen, stack, tries = set(), [(0, frozenset(), initial, 0)], 0
    while stack:
        base, placed, state, done = stack.pop()
        if done == must:
            return True
        tries += 1
        if tries > limit:
            return None
        # Only what began before the first end of what is not placed may be next.
        first_end, i, candidates = never, base, []
        while i < len(steps) and steps[i].invoked < first_end:
            if i not in placed:
                candidates.append(i)
                first_end = min(first_end, ends[i])
            i += 1
        for i in reversed(candidates):
            if steps[i].invoked > first_end:
                continue
            fits, after = apply(state, steps[i])
            if not fits:
                continue
            next_placed, next_base = set(placed), base
            next_placed.add(i)
            while next_base in next_placed:
                next_placed.remove(next_base)
                next_base += 1
            key = next_base, frozenset(next_placed), after
            if key not in seen:
                seen.add(key)
                stack.append((*key, done + (ends[i] != never)))
    return False

