// SPDX-License-Identifier: Apache-2.0
// systemd-logind for tests/conformance/agent_shutdown.py: logind FOLDER serves at FOLDER/bus until its input ends. Each
// line of input is a word: "shutdown" and "cancel" are its own, "restart" is the bus's, which ends all connections.
// What it prints is "locks TAKEN HELD", ever and now, after each change.
#include <unistd.h>

#include <cstdio>
#include <string>

#include "agent/shutdown/fake_logind.h"
#include "base/loop.h"
#include "sys/file.h"

namespace {

using gantry::FdRef;
using gantry::Loop;
using gantry::Task;
using gantry::agent::FakeLogind;

Task<> obey(Loop& loop, FakeLogind& logind) {
  gantry::Watch input(loop, FdRef(STDIN_FILENO));
  std::string words;
  char buffer[64];
  while (co_await input.readable()) {
    const auto size = gantry::sys::read(FdRef(STDIN_FILENO), buffer, sizeof(buffer));
    if (!size || *size == 0) break;
    words.append(buffer, *size);
    for (auto end = words.find('\n'); end != std::string::npos; end = words.find('\n')) {
      const std::string word = words.substr(0, end);
      words.erase(0, end + 1);
      if (word == "shutdown") logind.prepare(true);
      if (word == "cancel") logind.prepare(false);
      if (word == "restart") {
        logind.go();
        logind.listen();
      }
    }
  }
  loop.stop();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: logind FOLDER\n");
    return 1;
  }
  Loop loop;
  FakeLogind logind(loop, argv[1]);
  logind.delay = 3'600'000'000;
  logind.changed = [&logind] {
    std::printf("locks %d %d\n", logind.taken, logind.held);
    std::fflush(stdout);
  };
  std::printf("serving\n");
  std::fflush(stdout);
  loop.spawn(obey(loop, logind));
  loop.run();
  std::_Exit(0);
}
