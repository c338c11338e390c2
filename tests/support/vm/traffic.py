# SPDX-License-Identifier: Apache-2.0
"""Pods and images that come and go in a machine without a pause, until its power goes: and what of them was answered for."""
import json

from oci import Image, tar

from .layers import listing, tree

ARCHIVES = 3
WORK = "/root/traffic"
CRICTL = "/opt/cargo/crictl --config /root/test/crictl.yaml"

# Each line is said when what it says has been answered. Input is on tmpfs, so that no cut spoils it.
PODS = f"""
mkdir -p /run/traffic; n=$1; old= inside=
while :; do
  n=$((n+1))
  for kind in pod container; do sed s/NAME/p-$n/ {WORK}/$kind.json > /run/traffic/$kind-$n; done
  pod=$({CRICTL} runp /run/traffic/pod-$n) && echo pod $pod
  container=$({CRICTL} create $pod /run/traffic/container-$n /run/traffic/pod-$n) && echo container $container
  {CRICTL} start $container >/dev/null
  if [ $((n%3)) = 0 ]; then
    echo ending-pod $old; echo ending-container $inside
    {CRICTL} rmp -f $old >/dev/null && echo ended-pod $old && echo ended-container $inside
  fi
  old=$pod inside=$container
done
"""
IMAGES = f"""
n=$1
while :; do
  n=$((n+1)); echo $n > {WORK}/tree/stamp
  gantry image build --tag built:$n {WORK}/tree >/dev/null && echo image built:$n
  archive=$((n%{ARCHIVES}))
  gantry image load {WORK}/$archive.tar >/dev/null && echo image loaded:$archive
  for image in built:$((n-1)) loaded:$archive; do
    [ $((n%2)) = 1 ] || continue
    echo ending-image $image; gantry image remove $image >/dev/null && echo ended-image $image
  done
done
"""
# A manifest is there whole or not at all, and is synced, as who writes one to a disk does.
MANIFESTS = """
n=$1; folder=/etc/gantry/manifests
rm -f $folder/m-[1-9]*; sync $folder
while :; do
  n=$((n+1))
  sed s/NAME/m-$n/ $folder/../pod.yaml > $folder/../new; sync $folder/../new; mv $folder/../new $folder/m-$n.yaml; sync $folder
  sleep 1
  [ $((n%2)) = 0 ] || { rm -f $folder/m-$((n-1)).yaml; sync $folder; }
done
"""
# Of each pair of files one is synced before its number is said.
FILES = f"""
n=$1; cd {WORK}; rm -rf files; mkdir files; sync files .
while :; do
  n=$((n+1))
  for file in synced unsynced; do seq $n $((n+3000)) > files/$file-$n; done
  sync files/synced-$n files; echo $n
  sleep 0.5
done
"""
COUNT_WHOLE = (f"cd {WORK}/files; "
               "for n in {numbers}; do seq $n $((n+3000)) | cmp -s - {kind}-$n && echo whole; done | wc -l")


class Answered:
    """What the machine said was done: `there` and `gone`. What was begun and not answered may be either."""

    def __init__(self, lines):
        self.there, self.gone, begun = set(), set(), set()
        for line in lines:
            verb, _, name = line.partition(" ")
            if verb.startswith("ending-"):
                begun.add(name)
                self.there.discard(name)
                self.gone.discard(name)
            elif verb.startswith("ended-"):
                self.gone.add(name)
            else:
                self.there.add(name)
                self.gone.discard(name)


class Traffic:
    def __init__(self, node):
        self.node, self.machine = node, node.machine
        self.rounds = 0
        pod, container = node.pod_config("NAME"), node.container_config("NAME", "echo here; exec sleep 100000")
        self.machine.write(f"{WORK}/pod.json", json.dumps(pod))
        self.machine.write(f"{WORK}/container.json", json.dumps(container))
        self.machine.run("tar", "-C", "/root", "--one-top-level=traffic/tree", "-xpf", "-", data=tar(tree(0)))
        self.layers = {}  # of the archives: diff id without its "sha256:" to listing
        for number in range(ARCHIVES):
            parts = [tree(number + 1), tree(number + 100)]
            image = Image(*map(tar, parts), compress=True)
            self.layers |= {diff.split(":")[1]: listing(part) for diff, part in zip(image.diff_ids, parts)}
            self.machine.write(f"{WORK}/{number}.tar", image.archive_bytes(f"loaded:{number}"))
        self.machine.run("sync")

    def start(self):
        self.rounds += 1
        self.commands = [self.machine.start("sh", "-c", script, "sh", self.rounds * 1000)
                         for script in (PODS, IMAGES, MANIFESTS)]
        self.files = self.machine.start("sh", "-c", FILES, "sh", self.rounds * 1000)

    def answered(self):
        return Answered(self.said())

    def said(self):
        """The whole lines so far."""
        lines = []
        for command in self.commands:
            command.collect()
            lines += command.output.decode().split("\n")[:-1]
        return lines

    def whole_files(self):
        """Of the pairs of files that were answered for: (how many, of the synced ones how many are whole, of the others)."""
        self.files.collect()
        numbers = self.files.output.decode().split("\n")[:-1]
        return len(numbers), *(int(self.machine.shell(COUNT_WHOLE.format(numbers=" ".join(numbers), kind=kind)))
                               for kind in ("synced", "unsynced"))

    def built(self, number):
        """The listing of the image built:NUMBER."""
        stamp = {"stamp": listing(tree(number))["stamp"]}
        return listing(tree(0)) | stamp
