// SPDX-License-Identifier: Apache-2.0
#include "agent/oom_watcher.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

namespace gantry::agent {
namespace {

// Of Linux 6.1, with the dictionary that a record may have behind it.
constexpr char kGlobal[] =
    "3,1290,52348123,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
    "task_memcg=/kubepods/burstable/pod1/c,task=stress,pid=812,uid=0\n SUBSYSTEM=x\n";
constexpr char kOfCgroup[] =
    "3,1291,52348124,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/"
    "kubepods/"
    "pod1,task_memcg=/kubepods/pod1/c,task=stress,pid=813,uid=0\n";

TEST(OomWatcherTest, OnlyTheMachinesOwnCount) {
  auto victim = system_oom_victim(kGlobal);
  ASSERT_TRUE(victim);
  EXPECT_EQ(victim->process, "stress");
  EXPECT_EQ(victim->pid, 812);
  EXPECT_FALSE(system_oom_victim(kOfCgroup));
  EXPECT_FALSE(system_oom_victim("6,1,2,-;usb 1-1: new device\n"));
}

TEST(OomWatcherTest, WhatSomebodyWroteIntoTheLogIsNotTheKernels) {
  std::string forged = kGlobal;
  forged.replace(0, 1, "11");  // facility user, priority error
  EXPECT_FALSE(system_oom_victim(forged));
}

TEST(OomWatcherTest, WhatIsNoRecordIsNothing) {
  const std::string_view whole = kGlobal;
  for (std::size_t size = 0; size < whole.find("812"); ++size) EXPECT_FALSE(system_oom_victim(whole.substr(0, size)));
  EXPECT_FALSE(system_oom_victim("3,1,2,-;oom-kill:,task=a,pid=1,global_oom,"));
  EXPECT_FALSE(system_oom_victim("x;oom-kill:,global_oom,,task=a,pid="));
}

TEST(OomWatcherTest, TheLogIsFollowed) {
  Loop loop;
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);  // a record at a time
  OwnFd log(ends[0]), kernel(ends[1]);
  std::vector<int> pids;
  OomWatcher watcher(loop, std::move(log), [&](const OomVictim& victim) {
    pids.push_back(victim.pid);
    loop.stop();
  });
  for (const std::string_view record : {std::string_view(kOfCgroup), std::string_view(kGlobal)}) {
    ASSERT_EQ(::write(kernel.get(), record.data(), record.size()), static_cast<ssize_t>(record.size()));
  }
  loop.run();
  EXPECT_EQ(pids, std::vector<int>{812});
}

}  // namespace
}  // namespace gantry::agent
