# SPDX-License-Identifier: Apache-2.0
"""Jobs, and nodes that the test plays whose pods end as their only argument says."""
import urllib.error

from hollow_nodes import now
from played_nodes import PlayedNodes, is_ending, path_of

INDEX = "batch.kubernetes.io/job-completion-index"
ENDED = ("Succeeded", "Failed")


def fate(pod):
    """What becomes of it: "run", or its exit code. Of an indexed job there is one for each index, with commas between."""
    fates = pod["spec"]["containers"][0]["args"][0].split(",")
    return fates[int(pod["metadata"].get("annotations", {}).get(INDEX, "0")) % len(fates)]


class JobNodes(PlayedNodes):
    """Their pods end as fate() says. What is deleted fails, and then goes."""

    def play(self, pod):
        if pod["spec"].get("nodeName", "") not in self.names or pod["status"].get("phase") in ENDED and not is_ending(pod):
            return
        with_fate = "args" in pod["spec"]["containers"][0] and pod["status"].get("phase") not in ENDED
        try:
            if with_fate and is_ending(pod) and self.ends(pod):
                self.end(pod, 143)
            elif with_fate and not is_ending(pod) and fate(pod) != "run":
                return self.end(pod, int(fate(pod)))
        except urllib.error.HTTPError as error:
            # It went meanwhile, or another one has its name.
            if error.code not in (404, 409):
                raise
        super().play(pod)

    def end(self, pod, code):
        at = now()
        state = {"terminated": {"exitCode": code, "finishedAt": at, "reason": "Error" if code else "Completed"}}
        container = {"name": "main", "ready": False, "restartCount": 0, "image": "my-app:1.0", "imageID": "", "state": state}
        self.request("PATCH", f"{path_of(pod)}/status", {
            "metadata": {"uid": pod["metadata"]["uid"]},
            "status": {"phase": "Failed" if code else "Succeeded", "containerStatuses": [container],
                       "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": at}]}})


def job(name, arguments, **spec):
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "my-app:1.0", "args": [arguments]}]}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": pod}, **spec}}
