# SPDX-License-Identifier: Apache-2.0
"""A node in a virtual machine: our package installed, gantryd a service of its systemd, driven by real crictl."""
import contextlib
import pathlib
import shutil
import subprocess
import tempfile

from checks import Failure, log
from cri_client import APPLETS, CRICTL, IMAGE, SOCKET, CriClient

from . import disk
from .channel import Lost
from .machine import COMMAND_LIMIT, KERNEL, Machine

MAKE_TREE = """mkdir -p tree/bin tree/etc tree/tmp tree/out
cp /usr/bin/busybox tree/bin/
for name in {applets}; do ln -sf busybox tree/bin/$name; done
echo root:x:0:0:root:/:/bin/sh > tree/etc/passwd
echo root:x:0: > tree/etc/group
"""


class VmNode(CriClient):
    """Leaving its `with` block ends the machine. `versions` are those of our package to take along, all of the same programs;
    the first is installed. `cargo` are more files to take along, `flags` are gantryd's, `options` are Machine's."""

    def __init__(self, checks, name="node", kernel=KERNEL, versions=("1.0",), flags=(), cargo=(), **options):
        super().__init__()
        self.checks, self.name, self.versions, self.flags = checks, name, versions, flags
        self.work = pathlib.PurePosixPath("/root/test")
        self._cargo = tempfile.TemporaryDirectory()
        self.machine = Machine(name, kernel, [*self._load_cargo(), *cargo], **options)

    def _load_cargo(self):
        """Our packages and crictl: the files to take along."""
        folder = pathlib.Path(self._cargo.name)
        for version in self.versions:
            shutil.copy(disk.run(disk.ROOT / "packaging/build-deb", version).strip(), folder / f"gantry-{version}.deb")
        shutil.copy(shutil.which("crictl"), folder)
        return sorted(folder.iterdir())

    def __enter__(self):
        self.machine.__enter__()
        try:
            self.make_folder(self.work)
            self.configure_crictl()
            self.install(self.versions[0])
            if self.flags:
                self.restart_with(*self.flags)
            self.machine.shell(f"cd {self.work}; {MAKE_TREE.format(applets=' '.join(APPLETS))}"
                               f"gantry image build --tag {IMAGE} tree")
            return self
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __exit__(self, kind, error, trace):
        if kind or self.checks.failed:
            self.machine.keeps_logs = True
            with contextlib.suppress(Lost, TimeoutError, RuntimeError):
                log(self.machine.run("journalctl", "-u", "gantryd", "-n", "60", "--no-pager", check=False, timeout=60)[1])
        self.machine.__exit__(kind, error, trace)
        self._cargo.cleanup()

    def configure_crictl(self):
        limit = f"timeout: {COMMAND_LIMIT}"
        self.put(self.work / "crictl.yaml", CRICTL.format(socket=SOCKET).replace("timeout: 60", limit))

    def install(self, version):
        self.machine.run("dpkg", "--install", f"/opt/cargo/gantry-{version}.deb")

    def restart_with(self, *flags):
        """As the machine's owner would; returns when gantryd serves again."""
        self.put("/etc/default/gantryd", f'GANTRYD_OPTIONS="{" ".join(flags)}"\n')
        self.machine.run("systemctl", "restart", "gantryd")

    def use_cgroup_driver(self, driver):
        self.restart_with(*self.flags, f"--cgroup-driver={driver}")

    def exec(self, *command, check=True, limit=COMMAND_LIMIT, stdin=None):
        status, output, error = self.machine.run(*command, data=stdin or b"", check=False, timeout=limit)
        if check and status:
            raise Failure(f"{' '.join(map(str, command))}: exit status {status}\n{output}{error}".rstrip())
        return subprocess.CompletedProcess(command, status, output, error)

    def crictl(self, *arguments, **options):
        return self.exec("/opt/cargo/crictl", "--config", self.work / "crictl.yaml", *arguments, **options)

    def put(self, path, text):
        self.machine.write(path, text)

    def make_folder(self, path):
        self.machine.run("mkdir", "-p", path)

    def read(self, path):
        return self.machine.run("cat", path)

    def cgroup_of(self, container_id):
        """The folder of a container's cgroup, in the machine."""
        line = self.read(f"/proc/{self.container_pid(container_id)}/cgroup").strip()
        return pathlib.PurePosixPath("/sys/fs/cgroup" + line.removeprefix("0::"))
