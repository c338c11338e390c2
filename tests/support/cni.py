# SPDX-License-Identifier: Apache-2.0
"""A node whose pods' network is CNI's: the configurations that the test writes, the plugins of Debian, and one of the test's own
that writes down what it is told and does what the test wants."""
import json
import pathlib
import subprocess

import checks as c
from node import Node, read_pids, walk

PEERS = pathlib.Path(__file__).resolve().parents[2] / "scripts/peers"

# $state/said/COMMAND is what it read last, $state/told/COMMAND its environment, $state/log all commands, $state/leases/ID an
# address that it has given. $state/does/COMMAND is run in place of what it would do.
PLUGIN = """#!/bin/sh
state={state}
cat > $state/said/$CNI_COMMAND
env > $state/told/$CNI_COMMAND
ls -l /proc/self/fd >> $state/told/$CNI_COMMAND
echo "$CNI_COMMAND $CNI_CONTAINERID $(basename $0)" >> $state/log
version=$(sed -n 's/.*"cniVersion":"\\([^"]*\\)".*/\\1/p' $state/said/$CNI_COMMAND)
[ -e $state/does/$CNI_COMMAND ] && . $state/does/$CNI_COMMAND
case $CNI_COMMAND in
VERSION) echo '{{"cniVersion": "1.1.0", "supportedVersions": ["0.4.0", "1.0.0", "1.1.0"]}}' ;;
ADD) touch $state/leases/$CNI_CONTAINERID
    echo '{{"cniVersion": "'$version'", "interfaces": [{{"name": "eth0", "sandbox": "'$CNI_NETNS'"}}],
      "ips": [{{"address": "fd00::5/64", "interface": 0}}, {{"address": "10.77.0.5/24", "interface": 0}}]}}' ;;
DEL) rm -f $state/leases/$CNI_CONTAINERID ;;
GC) for id in $(ls $state/leases); do grep -q "\\"$id\\"" $state/said/GC || rm $state/leases/$id; done
    echo "GC done" >> $state/log ;;
esac
"""


class CniNode(Node):
    def __init__(self, checks, *options):
        super().__init__(checks)
        self.base = self.state / "cni"
        folders = f"{self.base}/bin,{debian_plugins()}"
        self.options = [*self.options, "--option=--network=cni", f"--option=--cni-config-folder={self.base}/net.d",
                        f"--option=--cni-plugin-folders={folders}", *(f"--option={option}" for option in options)]

    def __enter__(self):
        super().__enter__()
        for part in ("net.d", "bin", "said", "told", "does", "leases"):
            (self.base / part).mkdir(parents=True)
        for name in ("scripted", "second"):
            self.base.joinpath("bin", name).write_text(PLUGIN.format(state=self.base))
            self.base.joinpath("bin", name).chmod(0o755)
        self.base.joinpath("log").touch()
        return self

    def configure(self, plugins, name="pods", version="1.0.0", file="10-pods.conflist", **more):
        """The file is there as a whole or not at all. No list: a single plugin's, of which `more` tells."""
        made = self.base / "new"
        lists = {} if plugins is None else {"plugins": plugins}
        made.write_text(json.dumps({"cniVersion": version, "name": name} | lists | more))
        made.rename(self.base / "net.d" / file)

    def configure_bridge(self):
        """Debian's plugins: a bridge with addresses of both families, ports and bandwidth."""
        ipam = {"type": "host-local", "dataDir": str(self.base / "ipam"),
                "ranges": [[{"subnet": "10.99.0.0/16"}], [{"subnet": "fd99::/64"}]],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
        self.configure([{"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": ipam},
                        {"type": "portmap", "capabilities": {"portMappings": True}},
                        {"type": "bandwidth", "capabilities": {"bandwidth": True}}], cniVersions=["0.4.0", "1.0.0", "1.1.0"])

    def made(self):
        """What Debian's plugins have made for pods."""
        rules = [line for tool in ("iptables-save", "ip6tables-save") for line in self.exec(tool).stdout.splitlines()
                 if "CNI-DN-" in line or "10.99." in line or "fd99::" in line]
        links = [line.split()[0] for line in self.exec("ip", "-br", "link").stdout.splitlines() if line.startswith("veth")]
        folder = self.base / "ipam/pods"
        leases = [path.name for path in folder.iterdir() if path.name[0].isdigit() or ":" in path.name] if folder.exists() else []
        return {"rules": rules, "links": links, "leases": sorted(leases)}

    def does(self, command, script):
        """What the test's plugin does for a command; None for what it would do."""
        path = self.base / "does" / command
        if script is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(script)

    def said(self, command):
        return json.loads(self.base.joinpath("said", command).read_text())

    def told(self, command):
        return self.base.joinpath("told", command).read_text()

    def calls(self, command=""):
        return [line for line in self.base.joinpath("log").read_text().splitlines() if line.startswith(command)]

    def leases(self):
        return sorted(path.name for path in self.base.joinpath("leases").iterdir())

    def network_ready(self):
        """(ready, why not), as soon as the plugins have answered."""
        def answer():
            conditions = json.loads(self.crictl("info").stdout)["status"]["conditions"]
            found = [condition for condition in conditions if condition["type"] == "NetworkReady"]
            return "have not answered" not in found[0]["message"] and (found[0]["status"], found[0]["message"])
        return c.wait_until("the plugins answer", answer)

    def left(self):
        """What plugins and pods leave on a node, but for the pool's."""
        folder = self.cgroup / "pods/cni"
        names = self.root / "run/netns"
        return {"leases": self.leases(), "names": sorted(path.name for path in names.iterdir()) if names.exists() else [],
                "plugins": [pid for cgroup in walk(folder) for pid in read_pids(cgroup)], "cgroup": folder.exists()}

    def wait_for_nothing(self, what):
        nothing = {"leases": [], "names": [], "plugins": [], "cgroup": False}
        try:
            c.wait_until(what, lambda: self.left() == nothing)
        except c.Failure:
            pass
        self.checks.equal(self.left(), nothing, what)


def debian_plugins():
    done = subprocess.run([PEERS, "cni"], stdout=subprocess.PIPE, text=True, check=True)
    return pathlib.Path(done.stdout.split()[2]).parent
