// SPDX-License-Identifier: Apache-2.0
// deps: gantry_shim_client gantry_runtime_plan
// Processes of a pod that end at the wrong moment, and clients that go away while their calls are under way.
#include <signal.h>

#include "tests/support/shim_fixture.h"

namespace gantry::shim {
namespace {

using namespace std::chrono_literals;

TEST_F(ShimTest, TheEndOfTheLogWriterIsThePodsEnd) {
  run([](ShimTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Event ended(t.loop_);
    client->observe({[](const ExitedEvent&) {}, [&] { ended.set(); }});
    (void)co_await t.start(*client, "c1", t.shell_plan("busybox sleep 1000"));
    EXPECT_EQ(::kill(log_writer_of(*client), SIGKILL), 0);
    EXPECT_TRUE(co_await ended.wait_for(kPatience));
    EXPECT_FALSE(client->is_alive());
  }(*this));
  // The shim took its containers with it: nobody kills them here.
  remove_cgroups();
}

TEST_F(ShimTest, ExecInAContainerThatEndsIsRefusedInWords) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    (void)co_await t.run_container(client, ends, "gone", t.shell_plan("exit 0"));
    auto executed = co_await t.execute(client, "gone", exec_plan({"busybox", "true"}));
    EXPECT_EQ(executed.error, "container gone is not running");
    EXPECT_EQ((co_await t.execute(client, "gone", exec_plan({"busybox", "true"}))).error,
              "container gone is not running");
    for (int i = 0; i < 100; ++i) {
      std::string id = "c" + std::to_string(i);
      (void)co_await t.start(client, id, t.shell_plan("exit 0"));
      executed = co_await t.execute(client, id, exec_plan({"busybox", "true"}));
      bool in_words = executed.error.empty() || executed.error == "container " + id + " is not running" ||
                      executed.error == "the container has ended" || executed.error.starts_with("the launch was ended");
      EXPECT_TRUE(in_words) << executed.error;
      (void)co_await ends.of(id);
      EXPECT_TRUE((co_await client.forget(id)).has_value());
    }
    auto unknown = co_await client.signal("nobody", SIGTERM);
    EXPECT_FALSE(unknown.has_value());
  });
}

TEST_F(ShimTest, AContainerIsStartedOnce) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    int started = 0, refused = 0;
    Event done(t.loop_);
    for (int i = 0; i < 5; ++i) {
      t.loop_.spawn([](ShimTest& test, Client& c, int& yes, int& no, Event& all) -> Task<> {
        auto answer = co_await test.start(c, "c1", test.shell_plan("echo once; busybox sleep 1000"));
        if (!answer) EXPECT_EQ(answer.error().message(), "container c1 was started already");
        (answer ? yes : no)++;
        if (yes + no == 5) all.set();
      }(t, client, started, refused, done));
    }
    co_await done.wait();
    EXPECT_EQ(started, 1);
    EXPECT_EQ(refused, 4);
    EXPECT_FALSE((co_await client.forget("c1")).has_value());
    EXPECT_TRUE(wait_for_text("/run/t/c1.log", "once"));
    (void)co_await client.kill("c1");
    (void)co_await ends.of("c1");
    EXPECT_EQ(log_content("/run/t/c1.log", "stdout"), "once\n");
    EXPECT_FALSE((co_await t.start(client, "c1", t.shell_plan("exit 0"))).has_value());
    EXPECT_TRUE((co_await client.forget("c1")).has_value());
    // Linux 6.18 kills what is cloned into a cgroup that was killed once: a start gets a new one.
    EXPECT_TRUE(sys::unlinkat(test::cgroup_dir(), "c1", AT_REMOVEDIR).has_value());
    EXPECT_EQ((co_await t.run_container(client, ends, "c1", t.shell_plan("exit 3"))).error, "");
  });
}

TEST_F(ShimTest, AStartWhoseAskerWentAwayIsJoinedOrFound) {
  run([](ShimTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    for (int i = 0; i < 40; ++i) {
      std::string id = "c" + std::to_string(i);
      t.loop_.spawn([](ShimTest& test, Client& c, std::string name) -> Task<> {
        (void)co_await test.start(c, name, test.shell_plan("busybox sleep 1000"));
      }(t, *client, id));
      client.reset();
      auto again = co_await Client::connect(t.loop_, t.run_, "pod1.sock");
      EXPECT_TRUE(again.has_value()) << again.error().message();
      if (!again) co_return;
      client = std::move(*again);
      // The packet may have come too late: then this is the first start. Otherwise it joins the one under way, or is
      // told of it.
      auto answer = co_await t.start(*client, id, t.shell_plan("busybox sleep 1000"));
      if (!answer) EXPECT_EQ(answer.error().message(), "container " + id + " was started already");
      auto state = co_await client->state();
      EXPECT_TRUE(state.has_value());
      bool runs = false;
      for (const auto& container : state->containers) runs |= container.container_id == id && !container.exited;
      EXPECT_TRUE(runs) << id;
    }
    co_await client->shutdown();
  }(*this));
  remove_cgroups();
}

TEST_F(ShimTest, AnExecWhoseAskerWentAwayEnds) {
  run([](ShimTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    auto started = co_await t.start(*client, "c1", t.shell_plan("busybox sleep 1000"));
    for (int i = 0; i < 30; ++i) {
      t.loop_.spawn([](ShimTest& test, Client& c) -> Task<> {
        (void)co_await test.begin_exec(c, "c1", exec_plan({"busybox", "sleep", "2000"}));
      }(t, *client));
      if (i % 3 == 1) (void)co_await client->state();
      client.reset();
      auto again = co_await Client::connect(t.loop_, t.run_, "pod1.sock");
      EXPECT_TRUE(again.has_value());
      if (!again) co_return;
      client = std::move(*again);
    }
    // Dropped by its task alone, the connection stays.
    for (int i = 0; i < 30; ++i) {
      auto executing = t.begin_exec(*client, "c1", exec_plan({"busybox", "sleep", "2000"}));
      if (i % 2 == 0) {
        auto begun = co_await executing;
        EXPECT_EQ(begun.error, "");
      }
    }
    // All of them end without any further call; only the container's own process stays in the cgroup.
    auto left = [] { return slurp("/sys/fs/cgroup" + test::cgroup_path() + "/c1/cgroup.procs"); };
    std::string own = std::to_string(started->pid) + "\n";
    EXPECT_TRUE(co_await t.eventually([&] { return left() == own; })) << left();
    co_await client->shutdown();
  }(*this));
  remove_cgroups();
}

TEST_F(ShimTest, AnOrphanOutsideTheCgroupDoesNotHoldTheEndUp) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    auto plan = t.shell_plan("trap 'exit 5' TERM; busybox yes orphan & echo pid $!; wait; wait");
    plan.namespaces.new_pid = false;
    (void)co_await t.start(client, "c1", plan);
    // Either may be the first to speak.
    EXPECT_TRUE(wait_for_file("/run/t/c1.log", [](const std::string& text) {
      return text.find("stdout F orphan\n") != std::string::npos && text.find("stdout F pid ") != std::string::npos;
    }));
    std::string log = log_content("/run/t/c1.log", "stdout");
    pid_t orphan = std::atoi(log.c_str() + log.find("pid ") + 4);
    auto elsewhere = t.make_cgroup("elsewhere");
    EXPECT_TRUE(sys::write_file(elsewhere, "cgroup.procs", std::to_string(orphan)).has_value());
    (void)co_await client.signal("c1", SIGTERM);
    auto ended = co_await ends.of("c1");
    EXPECT_EQ(ended.code, 5);
    EXPECT_TRUE(sys::write_file(elsewhere, "cgroup.kill", "1").has_value());
  });
}

TEST_F(ShimTest, KillingALaunchLeavesNothing) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    for (int i = 0; i < 60; ++i) {
      std::string id = "c" + std::to_string(i);
      bool started = false, answered = false;
      Event done(t.loop_);
      t.loop_.spawn([](ShimTest& test, Client& c, std::string name, bool& yes, bool& over, Event& all) -> Task<> {
        yes = (co_await test.start(c, name, test.shell_plan("busybox sleep 1000"))).has_value();
        over = true;
        all.set();
      }(t, client, id, started, answered, done));
      (void)co_await client.kill(id);
      co_await done.wait();
      if (started) (void)co_await ends.of(id);
    }
    auto state = co_await client.state();
    for (const auto& container : state->containers) EXPECT_TRUE(container.exited);
  });
}

TEST_F(ShimTest, CallsUnderWayOutliveTheirClient) {
  run([](ShimTest& t) -> Task<> {
    for (int round = 0; round < 10; ++round) {
      std::string pod = "pod" + std::to_string(round);
      auto client = co_await t.spawn(pod);
      std::string id = "c" + std::to_string(round);
      (void)co_await t.start(*client, id, t.shell_plan("busybox sleep 1000"));
      int open = 0;
      Event done(t.loop_);
      auto wait = [&](auto task) {
        ++open;
        t.loop_.spawn([](auto inner, int& left, Event& all) -> Task<> {
          (void)co_await inner;
          if (--left == 0) all.set();
        }(std::move(task), open, done));
      };
      auto executing = co_await t.begin_exec(*client, id, exec_plan({"busybox", "sleep", "2000"}));
      EXPECT_EQ(executing.error, "");
      wait(executing.exec->wait());
      for (int i = 0; i < 3; ++i) {
        wait(client->state());
        wait(client->signal(id, SIGCONT));
        wait(client->resize(id, 1, 2));
        wait(t.start(*client, id + "-" + std::to_string(i), t.shell_plan("busybox sleep 1000")));
        wait(t.begin_exec(*client, id, exec_plan({"busybox", "true"})));
      }
      if (round % 2 == 0) wait(client->shutdown());
      if (round % 3 == 0) (void)co_await client->state();
      FdRef pidfd = client->pidfd();
      auto copy = duplicate(pidfd);
      client.reset();
      EXPECT_TRUE(co_await done.wait_for(kPatience)) << open << " calls never returned";
      executing.exec.reset();
      (void)sys::pidfd_send_signal(*copy, SIGKILL);
      for (const auto& name : *sys::list_dir(test::cgroup_dir())) {
        auto dir = sys::openat(test::cgroup_dir(), name.c_str(), O_RDONLY | O_DIRECTORY);
        if (dir) (void)sys::write_file(*dir, "cgroup.kill", "1");
      }
      t.remove_cgroups();
    }
  }(*this));
}

TEST_F(ShimTest, AnObserverMayEndItsClient) {
  run([](ShimTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Event gone(t.loop_);
    auto pidfd = duplicate(client->pidfd());
    std::string long_enough_to_be_on_the_heap(100, 'x');
    client->observe({[&client, &gone, text = long_enough_to_be_on_the_heap](const ExitedEvent&) {
                       client.reset();
                       EXPECT_EQ(text.size(), 100U);
                       gone.set();
                     },
                     [] { ADD_FAILURE() << "told after it was ended"; }});
    (void)co_await t.start(*client, "c1", t.shell_plan("exit 0"));
    EXPECT_TRUE(co_await gone.wait_for(kPatience));
    client = std::move(*co_await Client::connect(t.loop_, t.run_, "pod1.sock"));
    gone.reset();
    client->observe({[](const ExitedEvent&) {},
                     [&client, &gone, text = long_enough_to_be_on_the_heap] {
                       client.reset();
                       EXPECT_EQ(text.size(), 100U);
                       gone.set();
                     }});
    (void)sys::pidfd_send_signal(*pidfd, SIGKILL);
    EXPECT_TRUE(co_await gone.wait_for(kPatience));
  }(*this));
  remove_cgroups();
}

}  // namespace
}  // namespace gantry::shim
