# SPDX-License-Identifier: Apache-2.0
"""The CRI as a program has it that was written against its protobuf file: by gRPC's own library, from outside. For
/usr/bin/python3, which has that library (python3-grpcio).

    with Messages() as v1:
        cri = Cri(node, v1)
        cri.call("RunPodSandbox", v1.RunPodSandboxRequest(...), timeout=60)
"""
import importlib
import pathlib
import subprocess
import sys
import tempfile

import grpc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto/cri/runtime/v1/api.proto"
IMAGE_CALLS = {"ListImages", "ImageStatus", "PullImage", "RemoveImage", "ImageFsInfo"}


class Messages:
    """The messages of api.proto, as Python's classes."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        subprocess.run(["protoc", f"--proto_path={PROTO.parent}", f"--python_out={self.folder.name}", PROTO.name], check=True)
        sys.path.insert(0, self.folder.name)
        return importlib.import_module("api_pb2")

    def __exit__(self, *_):
        sys.path.remove(self.folder.name)
        self.folder.cleanup()


class Cri:
    """One connection to a node's socket."""

    def __init__(self, node, v1):
        self.v1 = v1
        # A channel of its own, also where another has the same address.
        self.channel = grpc.insecure_channel(f"unix:{node.root}/run/gantry/gantryd.sock",
                                             options=[("grpc.use_local_subchannel_pool", 1), ("grpc.default_authority", "localhost")])

    def start(self, method, request, timeout=None):
        """A call that goes on: gRPC's future. `timeout` in seconds is the deadline that the server is told, too."""
        service = "ImageService" if method in IMAGE_CALLS else "RuntimeService"
        answer = getattr(self.v1, f"{method}Response")
        return self.channel.unary_unary(f"/runtime.v1.{service}/{method}", request_serializer=type(request).SerializeToString,
                                        response_deserializer=answer.FromString).future(request, timeout=timeout)

    def call(self, method, request, timeout=60):
        return self.start(method, request, timeout).result()

    def close(self):
        self.channel.close()
