// SPDX-License-Identifier: Apache-2.0
#include "base/subprocess.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/loop.h"

namespace gantry {
namespace {

struct Pipe {
  Pipe() {
    int fds[2];
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    in = OwnFd(fds[0]);
    out = OwnFd(fds[1]);
  }
  std::string read_all() {
    out.close();
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = ::read(in.get(), buffer, sizeof(buffer))) > 0;)
      text.append(buffer, static_cast<std::size_t>(n));
    return text;
  }
  OwnFd in, out;
};

Command shell(const std::string& script) {
  Command command;
  command.path = "/bin/sh";
  command.argv = {"sh", "-c", script};
  command.envp = {"PATH=/usr/bin:/bin"};
  return command;
}

ExitStatus wait(Process& process) {
  Loop loop;
  ExitStatus status;
  loop.spawn([](Loop& l, Process& p, ExitStatus& out) -> Task<> {
    auto end = co_await p.wait(l);
    EXPECT_TRUE(end.has_value());
    if (end) out = *end;
    auto again = co_await p.wait(l);
    EXPECT_TRUE(again.has_value() && again->code == out.code);
    l.stop();
  }(loop, process, status));
  loop.run();
  return status;
}

TEST(SubprocessTest, CodesAndSignals) {
  auto process = spawn(shell("exit 7"));
  ASSERT_TRUE(process.has_value()) << process.error().message();
  EXPECT_EQ(wait(*process).code, 7);
  EXPECT_TRUE(process->kill(SIGKILL).has_value()) << "ended already";

  process = spawn(shell("exec sleep 1000"));
  ASSERT_TRUE(process.has_value());
  ASSERT_TRUE(process->kill(SIGTERM).has_value());
  auto status = wait(*process);
  EXPECT_EQ(status.code, 128 + SIGTERM);
  EXPECT_EQ(status.signal, SIGTERM);
}

TEST(SubprocessTest, DescriptorsAreThoseHandedOverInOrder) {
  // What came from whoever started the test runner; a program's main does the same.
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  // In an order that would overwrite sources if dup2 were naive.
  std::vector<Pipe> pipes(4);
  Pipe listing;
  Command command = shell("for f in 3 4 5 6; do echo $f >&$f; done; ls /proc/self/fd");
  command.output = listing.out;
  command.fds = {pipes[3].out, pipes[0].out, pipes[2].out, pipes[1].out};
  auto process = spawn(command);
  ASSERT_TRUE(process.has_value()) << process.error().message();
  EXPECT_EQ(wait(*process).code, 0);
  EXPECT_EQ(pipes[3].read_all(), "3\n");
  EXPECT_EQ(pipes[0].read_all(), "4\n");
  EXPECT_EQ(pipes[2].read_all(), "5\n");
  EXPECT_EQ(pipes[1].read_all(), "6\n");
  // 7 is ls's own view of the folder.
  EXPECT_EQ(listing.read_all(), "0\n1\n2\n3\n4\n5\n6\n7\n");
}

TEST(SubprocessTest, BeginsClean) {
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  auto pipe_handler = ::signal(SIGPIPE, SIG_IGN);
  Pipe out;
  // Not by a shell, which changes its own signals: each file of /proc is one of the program itself.
  Command command;
  command.path = "/usr/bin/env";
  command.argv = {"env", "cat", "/proc/self/environ", "/proc/self/status", "/proc/self/stat"};
  command.output = out.out;
  command.envp = {"ONLY=this", "PATH=/usr/bin:/bin"};
  auto process = spawn(command);
  ::signal(SIGPIPE, pipe_handler);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(process.has_value());
  EXPECT_EQ(wait(*process).code, 0);
  std::string text = out.read_all();
  EXPECT_TRUE(text.starts_with(std::string("ONLY=this\0PATH=/usr/bin:/bin\0Name:", 34))) << text;
  EXPECT_NE(text.find("SigBlk:\t0000000000000000\n"), std::string::npos) << text;
  // 32 and 33 are libc's own, which it leaves as whoever started us had them.
  std::size_t ignored = text.find("SigIgn:\t");
  ASSERT_NE(ignored, std::string::npos) << text;
  EXPECT_EQ(std::stoull(text.substr(ignored + 8), nullptr, 16) & ~0x180000000ULL, 0U) << text;
  std::string pid = std::to_string(process->pid());
  std::string stat = text.substr(text.rfind(" (cat) "));
  // After the name: state, parent, process group, session.
  EXPECT_TRUE(stat.starts_with(" (cat) R " + std::to_string(::getpid()) + " " + pid + " " + pid + " "))
      << "a session of its own: " << stat;
}

TEST(SubprocessTest, RunsASealedMemfd) {
  OwnFd source(::open("/bin/sh", O_RDONLY | O_CLOEXEC));
  OwnFd memfd(::memfd_create("program", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  struct stat info;
  ASSERT_EQ(::fstat(source.get(), &info), 0);
  ASSERT_EQ(::sendfile(memfd.get(), source.get(), nullptr, static_cast<std::size_t>(info.st_size)), info.st_size);
  ASSERT_EQ(::fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
  Command command = shell("ls -l /proc/$$/exe | grep -q memfd: && exit 3");
  command.path.clear();
  command.executable = memfd;
  auto process = spawn(command);
  ASSERT_TRUE(process.has_value()) << process.error().message();
  EXPECT_EQ(wait(*process).code, 3);
}

TEST(SubprocessTest, WhatCannotRunIsAnError) {
  Command command = shell("");
  command.path = "/nonexistent/program";
  auto process = spawn(command);
  ASSERT_FALSE(process.has_value());
  EXPECT_TRUE(process.error().is_not_found());
  EXPECT_NE(process.error().message().find("/nonexistent/program"), std::string::npos);
  command.path = "/etc/passwd";
  EXPECT_TRUE(spawn(command).error().is_privilege());
  command.fds.resize(kMaxHandedFds + 1);
  EXPECT_TRUE(spawn(command).error().is_invalid());
}

}  // namespace
}  // namespace gantry
