# SPDX-License-Identifier: Apache-2.0
"""Holds a program at a system call, so that what may happen between two of its steps does happen there."""
import ctypes
import os
import signal
import struct
import subprocess

PTRACE_TRACEME, PTRACE_SYSCALL, PTRACE_SETOPTIONS, PTRACE_GET_SYSCALL_INFO = 0, 24, 0x4200, 0x420E
PTRACE_O_TRACESYSGOOD, PTRACE_O_EXITKILL = 1, 0x100000
OP_ENTRY = 1
PIDFD_OPEN, CLONE3 = 434, 435  # on every architecture

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, address=None, data=None):
    result = libc.ptrace(request, pid, address, data)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")
    return result


def entered(pid):
    """The number and the arguments of the system call that is about to be made; nothing at the end of one."""
    info = ctypes.create_string_buffer(88)
    ptrace(PTRACE_GET_SYSCALL_INFO, pid, len(info), ctypes.addressof(info))
    return struct.unpack_from("=7Q", info, 24) if info[0][0] == OP_ENTRY else None


def run_holding(command, meanwhile):
    """Runs a program, and calls meanwhile(number, *arguments) before each system call that it makes; when that returns something
    true the program is killed there. Its exit code."""
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=lambda: ptrace(PTRACE_TRACEME, 0))
    os.waitpid(program.pid, 0)
    ptrace(PTRACE_SETOPTIONS, program.pid, None, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)
    sent = 0
    while True:
        ptrace(PTRACE_SYSCALL, program.pid, None, sent)
        _, status = os.waitpid(program.pid, 0)
        if not os.WIFSTOPPED(status):
            program.returncode = os.waitstatus_to_exitcode(status)
            return program.returncode
        sent = os.WSTOPSIG(status)
        if sent & 0x80:
            if (call := entered(program.pid)) and meanwhile(*call):
                program.kill()
                return program.wait()
        if sent & 0x80 or sent == signal.SIGTRAP:
            sent = 0
