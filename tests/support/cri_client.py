# SPDX-License-Identifier: Apache-2.0
"""The CRI as crictl's users have it: configurations, and what the commands answer."""
import itertools
import json

from checks import Failure, wait_until

SOCKET = "unix:///run/gantry/gantryd.sock"
CRICTL = "runtime-endpoint: {socket}\nimage-endpoint: {socket}\ntimeout: 60\n"
IMAGE = "busybox:test"
# Of busybox-static; what the containers of the tests run.
APPLETS = ("sh", "sleep", "usleep", "cat", "echo", "date", "true", "false", "kill", "ls", "id", "httpd", "dd", "seq", "touch",
           "mkdir", "mount", "sed", "dirname")
# Each container in a PID namespace of its own, as kubelet asks for. (CRI's default is one for the pod.)
OWN_PIDS = {"security_context": {"namespace_options": {"pid": 1}}}


class CriClient:
    """Base of the nodes of the tests, on this machine and in virtual ones. They have exec(*command, check, limit, stdin), which
    runs one where crictl finds the node; `name`, theirs alone; `work`, a folder for configurations and logs; and put() and
    make_folder(), which write there."""

    def __init__(self):
        self._files = itertools.count(1)  # several threads may write configurations

    def configure_crictl(self):
        self.put(self.work / "crictl.yaml", CRICTL.format(socket=SOCKET))

    def crictl(self, *arguments, check=True, limit=120, stdin=None):
        return self.exec("crictl", "--config", self.work / "crictl.yaml", *arguments, check=check, limit=limit, stdin=stdin)

    def json(self, *arguments):
        return json.loads(self.crictl(*arguments).stdout)

    def refusal(self, *arguments):
        """What crictl says of a command that must fail; '' when it did not."""
        done = self.crictl(*arguments, check=False)
        return done.stderr + done.stdout if done.returncode != 0 else ""

    def write(self, value):
        """A configuration as a file for crictl."""
        path = self.work / f"config-{next(self._files)}.json"
        self.put(path, value if isinstance(value, str) else json.dumps(value))
        return str(path)

    def pod_config(self, name, **more):
        logs = self.work / "logs" / name
        self.make_folder(logs)
        return {"metadata": {"name": name, "namespace": "default", "uid": f"uid-{self.name}-{name}", "attempt": 0},
                "log_directory": str(logs), "linux": OWN_PIDS} | more

    def container_config(self, name, script, **more):
        return {"metadata": {"name": name, "attempt": 0}, "image": {"image": IMAGE}, "command": ["/bin/sh", "-c", script],
                "log_path": f"{name}.log", "linux": OWN_PIDS} | more

    def run_pod(self, config):
        return self.crictl("runp", self.write(config)).stdout.strip()

    def create(self, pod_id, container, pod):
        return self.crictl("create", pod_id, self.write(container), self.write(pod)).stdout.strip()

    def run_container(self, pod_id, container, pod):
        container_id = self.create(pod_id, container, pod)
        self.crictl("start", container_id)
        return container_id

    def finish(self, container_id):
        """Starts a container, waits for its end, and removes it: what it said."""
        self.crictl("start", container_id)
        wait_until("the container ends", lambda: self.container_status(container_id)["state"] == "CONTAINER_EXITED")
        said = self.crictl("logs", container_id)
        self.crictl("rm", container_id)
        return (said.stdout + said.stderr).strip()

    def output(self, pod_id, container, pod):
        """What a container says until it ends."""
        return self.finish(self.create(pod_id, container, pod))

    def container_status(self, container_id):
        return self.json("inspect", container_id)["status"]

    def container_pid(self, container_id):
        pid = int(self.json("inspect", container_id)["info"]["pid"])
        if pid <= 1:
            raise Failure(f"container {container_id} has no process: {self.container_status(container_id)}")
        return pid

    def pod_status(self, pod_id):
        return self.json("inspectp", pod_id)["status"]

    def pods(self):
        """{id: item}"""
        return {item["id"]: item for item in self.json("pods", "-o", "json")["items"] or []}

    def containers(self):
        return {item["id"]: item for item in self.json("ps", "-a", "-o", "json")["containers"] or []}

    def log_of(self, pod, container):
        return self.work.joinpath(pod["log_directory"], container["log_path"])
