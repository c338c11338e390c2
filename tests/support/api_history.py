# SPDX-License-Identifier: Apache-2.0
"""Whether an API server keeps its word while it is hurt: clients that compare and write ConfigMaps, contenders for a Lease and
watchers note what they are told; then judge() compares it all.

- A write that was answered is in the history, once, and was made to the version that its client had seen.
- One that was refused is not; of one without an answer nobody knows.
- A read sees every write that was answered before it began.
- Each watcher has every event of the versions that it followed, in order; it goes on from its last one, and after 410 Gone
  it lists again.
- Of two contenders never both have the lease: neither by what they believe, nor in the history."""
import base64
import contextlib
import datetime
import http.client
import json
import random
import re
import ssl
import threading
import time
import urllib.parse

import checks as c
from judgement import LEASE_SECONDS, Judgement

NAMESPACE = "faults"
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
# The date when the clock that contenders wait by was zero: the other clock may be set meanwhile.
ZERO = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=time.monotonic())
LOST = (OSError, http.client.HTTPException, ssl.SSLError)


class Connection:
    """Requests as the administrator, one after the other; made anew when it breaks."""

    def __init__(self, control, limit=10):
        self.control, self.limit, self.connection = control, limit, None
        text = control.kubeconfig.read_text()
        part = {}
        for name in ("certificate-authority-data", "client-certificate-data", "client-key-data"):
            part[name] = base64.b64decode(re.search(name + ': *"?([A-Za-z0-9+/=]+)', text).group(1)).decode()
        self.context = ssl.create_default_context(cadata=part["certificate-authority-data"])
        own = control.folder / f"client-{id(self)}.pem"
        own.write_text(part["client-certificate-data"] + part["client-key-data"])
        self.context.load_cert_chain(own)
        own.unlink()

    def open(self, method, path, body=None):
        """The answer, not yet read. LOST when there is none."""
        if self.connection is None:
            self.connection = http.client.HTTPSConnection("127.0.0.1", self.control.port, timeout=self.limit,
                                                          context=self.context)
        try:
            self.connection.request(method, path, None if body is None else json.dumps(body),
                                    {"Content-Type": "application/json"})
            return self.connection.getresponse()
        except LOST:
            self.close()
            raise

    def call(self, method, path, body=None):
        """The status, and the document; 0 when nobody knows what came of it."""
        try:
            answer = self.open(method, path, body)
            return answer.status, json.loads(answer.read())
        except (*LOST, ValueError):
            self.close()
            return 0, {}

    def close(self):
        if self.connection is not None:
            with contextlib.suppress(*LOST):
                self.connection.close()
        self.connection = None


def version(document):
    return int(document["metadata"]["resourceVersion"])


class Watcher(threading.Thread):
    """Follows a collection. `events` has (version, type, name, what it says); `parts` the versions that it followed, [after, last]."""

    def __init__(self, history, path, say):
        super().__init__(daemon=True)
        self.history, self.path, self.say = history, path, say
        self.events, self.parts, self.gone = [], [], 0
        self.connection = Connection(history.control, limit=5)

    def run(self):
        while not self.history.is_over:
            try:
                if not self.parts or self.parts[-1] is None:
                    self.begin()
                else:
                    self.follow(self.parts[-1])
            except (*LOST, ValueError):
                self.connection.close()
                time.sleep(0.02)  # a server that is being started

    def begin(self):
        status, listed = self.connection.call("GET", self.path)
        if status == 200:
            with self.history.news:
                self.parts = [part for part in self.parts if part] + [[version(listed)] * 2]
                self.history.news.notify_all()
        else:
            time.sleep(0.05)

    def follow(self, part):
        query = urllib.parse.urlencode({"watch": "true", "resourceVersion": part[1], "allowWatchBookmarks": "true"})
        answer = self.connection.open("GET", f"{self.path}?{query}")
        if answer.status != 200:
            self.end_part(answer.status)
            answer.read()
            return
        while line := answer.readline():
            if not line.endswith(b"\n"):
                break  # cut off with its connection: not an event
            event = json.loads(line)
            if event["type"] == "ERROR":
                self.end_part(event["object"].get("code"))
                break
            seen = version(event["object"])
            if event["type"] != "BOOKMARK":
                self.events.append((seen, event["type"], event["object"]["metadata"]["name"], self.say(event["object"])))
            with self.history.news:
                part[1] = seen
                self.history.news.notify_all()
        self.connection.close()

    def end_part(self, status):
        if status == 410:
            self.gone += 1
            self.parts.append(None)
        else:
            time.sleep(0.05)


class History:
    """with History(control, seed) as history: hurt it; then history.judge(checks)."""

    def __init__(self, control, seed, clients=4, watchers=3, keys=6):
        self.control, self.seed, self.is_over, self.stops = control, seed, False, False
        self.lock, self.news = threading.Lock(), threading.Condition()
        self.answered, self.refused, self.unknown = [], [], 0  # (name, value, version before, version or None)
        self.latest, self.problems, self.beliefs = {}, [], []
        self.names = [f"key-{i}" for i in range(keys)]
        first = Connection(control)
        status, _ = first.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        if status not in (201, 409):
            raise c.Failure(f"no namespace: {status}")
        maps = [Watcher(self, MAPS, lambda m: m.get("data", {}).get("v")) for _ in range(watchers)]
        self.leases = Watcher(self, LEASES, lambda lease: lease["spec"])
        self.watchers = [*maps, self.leases]
        for watcher in self.watchers:
            watcher.begin()
        self.workers = [threading.Thread(target=self.write, args=(i,), daemon=True) for i in range(clients)]
        self.workers += [threading.Thread(target=self.contend, args=(i,), daemon=True) for i in range(3)]

    def __enter__(self):
        for thread in (*self.watchers, *self.workers):
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self.stops = True
        for thread in self.workers:
            thread.join(c.PATIENCE)
        try:
            if kind is None:
                self.catch_up()
        finally:
            self.is_over = True
            for thread in self.watchers:
                thread.join(c.PATIENCE)

    def progress(self):
        """How many writes were answered so far."""
        with self.lock:
            return len(self.answered)

    def wait_for_writes(self, count, limit=c.PATIENCE):
        """Until so many more are answered."""
        goal = self.progress() + count
        c.wait_until(f"{count} more writes", lambda: self.progress() >= goal, limit)

    # ---- clients ---------------------------------------------------------------------------------------------------------

    def write(self, number):
        rng, connection = random.Random(self.seed * 100 + number), Connection(self.control)
        count = 0
        while not self.stops:
            name, count = rng.choice(self.names), count + 1
            with self.lock:
                floor = self.latest.get(name, 0)
            status, seen = connection.call("GET", f"{MAPS}/{name}")
            if status not in (200, 404):
                time.sleep(0.02)
                continue
            before = version(seen) if status == 200 else 0
            if status == 200 and before < floor:
                self.problem(f"a read of {name} has version {before}, {floor} was answered before")
            remove = before and rng.random() < 0.15
            self.send(connection, name, f"{number}-{count}", before, remove)

    def send(self, connection, name, value, before, remove):
        body = {"metadata": {"name": name}, "data": {"v": value}}
        if remove:
            value = None
            status, seen = connection.call("DELETE", f"{MAPS}/{name}",
                                           {"preconditions": {"resourceVersion": str(before)}})
        elif before:
            body["metadata"]["resourceVersion"] = str(before)
            status, seen = connection.call("PUT", f"{MAPS}/{name}", body)
        else:
            status, seen = connection.call("POST", MAPS, body)
        with self.lock:
            if status in (200, 201):
                done = None if remove else version(seen)
                self.answered.append((name, value, before, done))
                self.latest[name] = max(self.latest.get(name, 0), done or before)
            elif status in (404, 409):
                self.refused.append((name, value, before))
            else:
                self.unknown += 1

    def contend(self, number):
        """As clients of upstream do: a lease of another is taken when it was seen unchanged for its whole duration."""
        me, connection, rng = f"contender-{number}", Connection(self.control, limit=2), random.Random(self.seed * 7 + number)
        seen, seen_at = None, 0.0
        while not self.stops:
            began = time.monotonic()
            status, lease = connection.call("GET", f"{LEASES}/one")
            if status not in (200, 404):
                time.sleep(0.05)
                continue
            if status == 200 and lease["metadata"]["resourceVersion"] != seen:
                seen, seen_at = lease["metadata"]["resourceVersion"], time.monotonic()
            holder = lease.get("spec", {}).get("holderIdentity") if status == 200 else None
            if holder not in (None, me) and time.monotonic() < seen_at + LEASE_SECONDS:
                time.sleep(0.05 + rng.random() / 10)
                continue
            began = time.monotonic()
            now = (ZERO + datetime.timedelta(seconds=began)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            body = {"metadata": {"name": "one"}, "spec": {"holderIdentity": me, "leaseDurationSeconds": LEASE_SECONDS,
                                                          "renewTime": now}}
            if status == 200:
                body["metadata"]["resourceVersion"] = lease["metadata"]["resourceVersion"]
                status, _ = connection.call("PUT", f"{LEASES}/one", body)
            else:
                status, _ = connection.call("POST", LEASES, body)
            if status in (200, 201):
                with self.lock:
                    self.beliefs.append((time.monotonic(), began + LEASE_SECONDS, me))
            # Now and then a holder stops for longer than its lease, so that another takes it.
            time.sleep(LEASE_SECONDS * 1.5 if rng.random() < 0.08 else 0.2)

    def problem(self, text):
        with self.lock:
            self.problems.append(text)

    # ---- the end ---------------------------------------------------------------------------------------------------------

    def catch_up(self):
        """One last write that every watcher must get to: by its event, or by a list that has it."""
        connection = Connection(self.control)
        body = {"metadata": {"name": "last"}, "data": {"v": "last"}}
        c.wait_until("the last write", lambda: connection.call("POST", MAPS, body)[0] in (201, 409), limit=60)
        last = c.wait_until("the last write is read", lambda: (
            lambda seen: seen[1] if seen[0] == 200 else None)(connection.call("GET", f"{MAPS}/last")))
        def have_it():
            parts = [(watcher.parts or [None])[-1] for watcher in self.watchers[:-1]]
            return all(part and part[1] >= version(last) for part in parts)
        with self.news:
            if not self.news.wait_for(have_it, timeout=60):
                behind = [watcher.parts[-1:] for watcher in self.watchers]
                self.problem(f"watchers do not get to version {version(last)}: they are at {behind}")

    def judge(self, checks):
        judgement = Judgement([*self.names, "last"], self.answered, self.refused, self.beliefs, self.watchers[:-1], self.leases)
        problems = self.problems + judgement.problems()
        c.log(f"{len(self.answered)} writes answered, {len(self.refused)} refused, {self.unknown} without an answer; "
              f"{len(judgement.events)} events; {sum(watcher.gone for watcher in self.watchers)} times 410; the lease was renewed "
              f"{len(self.beliefs)} times by {len({who for _, _, who in self.beliefs})} holders")
        checks.ok(not problems, "no answered write is lost, no event missed or out of order, never two holders of the lease",
                  "\n".join(problems[:20]))
