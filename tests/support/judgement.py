# SPDX-License-Identifier: Apache-2.0
"""What api_history.py's clients, contenders and watchers noted, compared: problems() has a sentence for each thing that can't be."""
import datetime

LEASE_SECONDS = 2


class Judgement:
    """`answered` has (name, value or None of a removal, version before or 0, version or None), `refused` (name, value, version
    before), `beliefs` (from, to, holder) in seconds; watchers have `events`, `parts` and `gone` as Watcher says. `names` are those
    that the clients wrote: what others wrote, as the server its kube-root-ca.crt, is not judged."""

    def __init__(self, names, answered, refused, beliefs, watchers, leases):
        self.names, self.answered, self.refused, self.beliefs = set(names), answered, refused, beliefs
        self.watchers, self.leases, self.found = watchers, leases, []

    def problems(self):
        self.found = []
        self.events = self.truth()
        for watcher in self.watchers:
            self.judge_watcher(watcher)
        self.judge_writes()
        self.judge_lease()
        return self.found

    def truth(self):
        """{version: event} of all watchers of ConfigMaps, which must not contradict each other."""
        events = {}
        for watcher in self.watchers:
            for event in watcher.events:
                if event[2] in self.names and events.setdefault(event[0], event) != event:
                    self.found.append(f"two watchers see version {event[0]} as {event} and {events[event[0]]}")
        return events

    def judge_watcher(self, watcher):
        versions = [event[0] for event in watcher.events]
        if versions != sorted(set(versions)):
            at = next(i for i in range(1, len(versions)) if versions[i] <= versions[i - 1])
            self.found.append(f"a watcher has version {versions[at]} after {versions[at - 1]}")
        own = set(versions)
        for after, last in (part for part in watcher.parts if part):
            missed = [v for v in self.events if after < v <= last and v not in own]
            if missed:
                self.found.append(f"a watcher of {after} to {last} missed {sorted(missed)[:5]}")

    def is_covered(self, number):
        return any(after < number <= last for watcher in self.watchers for after, last in filter(None, watcher.parts))

    def judge_writes(self):
        before, chain, values = {}, {}, {}  # of each name its last event; what was before an event; a value's events
        for number in sorted(self.events):
            _, kind, name, value = self.events[number]
            last = before.get(name)
            chain[number] = last[0] if last and last[1] != "DELETED" else 0
            before[name] = self.events[number]
            if kind != "DELETED":
                values.setdefault(value, []).append(number)
        for value, numbers in values.items():
            if len(numbers) > 1:
                self.found.append(f"value {value} was written {len(numbers)} times: {numbers}")
        removed = {chain[number] for number, event in self.events.items() if event[1] == "DELETED"}
        complete = not any(watcher.gone for watcher in self.watchers)
        for name, value, was, number in self.answered:
            if number is None:
                if complete and was not in removed:
                    self.found.append(f"the removal of {name} at {was} was answered, and did not happen")
                continue
            if number not in self.events:
                if self.is_covered(number):
                    self.found.append(f"{name}={value} was answered as version {number}, and is not in the history")
            elif self.events[number][2:] != (name, value):
                self.found.append(f"{name}={value} was answered as version {number}, which is {self.events[number]}")
            elif complete and chain[number] != was:
                self.found.append(f"{name}={value} was written over {chain[number]}, its client had seen {was}")
        for name, value, _ in self.refused:
            # A removal has no value of its own: another's of the same version may have happened.
            if value is not None and value in values:
                self.found.append(f"{name}={value} was refused, and is in the history")

    def judge_lease(self):
        spans = sorted(self.beliefs)
        for i, (began, ends, who) in enumerate(spans):
            for other_began, _, other in spans[i + 1:]:
                if other_began < ends and other != who:
                    self.found.append(f"{other} had the lease {ends - other_began:.3f} s before {who}'s ended")
        holder = None
        for _, kind, _, spec in self.leases.events:
            if kind == "DELETED":
                holder = None
                continue
            renewed = datetime.datetime.fromisoformat(spec["renewTime"].replace("Z", "+00:00"))
            if holder and holder[0] != spec["holderIdentity"] and renewed < holder[1]:
                self.found.append(f"in the history {spec['holderIdentity']} took the lease at {renewed}, {holder[0]} had it to {holder[1]}")
            holder = spec["holderIdentity"], renewed + datetime.timedelta(seconds=LEASE_SECONDS)
