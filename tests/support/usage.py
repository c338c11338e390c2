# SPDX-License-Identifier: Apache-2.0
"""What a kubelet says of the use of its node and pods, as a test wants it to be: its page /metrics/resource, with times of
its own, so that rates do not depend on when somebody asks."""
import threading
import time


class Usage:
    """usage() is the page now. Everything uses the CPU from the beginning at the rate that it was given; a rate that changes does so
    from that moment on."""

    def __init__(self, cores=1.0, memory=1 << 30):
        self.lock = threading.Lock()
        self.node = [0.0, time.time(), cores, memory]
        self.containers = {}

    @staticmethod
    def _advance(counter, now):
        counter[0] += (now - counter[1]) * counter[2]
        counter[1] = now

    def put(self, pod, container="main", cores=0.1, memory=1 << 20, namespace="default"):
        """A container uses that from now on. One that is new began long ago."""
        with self.lock:
            now, key = time.time(), (namespace, pod, container)
            counter = self.containers.setdefault(key, [1.0, now, cores, memory])
            self._advance(counter, now)
            counter[2:] = [cores, memory]

    def drop(self, pod, namespace="default"):
        with self.lock:
            for key in [key for key in self.containers if key[:2] == (namespace, pod)]:
                del self.containers[key]

    def __call__(self):
        with self.lock:
            now = time.time()
            at, lines = round(now * 1000), []
            self._advance(self.node, now)
            lines.append(f"node_cpu_usage_seconds_total {self.node[0]:.9f} {at}")
            lines.append(f"node_memory_working_set_bytes {self.node[3]} {at}")
            for (namespace, pod, container), counter in sorted(self.containers.items()):
                self._advance(counter, now)
                labels = f'{{container="{container}",namespace="{namespace}",pod="{pod}"}}'
                lines.append(f"container_cpu_usage_seconds_total{labels} {counter[0]:.9f} {at}")
                lines.append(f"container_memory_working_set_bytes{labels} {counter[3]} {at}")
            return "\n".join(lines) + "\n"
