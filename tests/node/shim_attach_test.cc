// SPDX-License-Identifier: Apache-2.0
// deps: gantry_shim_client gantry_runtime_plan
// Who attaches to a container: gets what it says from then on, writes its input, and holds up nobody by not reading.
#include <poll.h>
#include <signal.h>

#include <thread>

#include "base/text.h"
#include "sys/pipe.h"
#include "tests/support/shim_fixture.h"

namespace gantry::shim {
namespace {

using namespace std::chrono_literals;

class ShimAttachTest : public ShimTest {
 public:
  struct Attached {
    std::unique_ptr<Client::Attachment> attachment;
    OwnFd in, out, err;
    std::string error;
  };
  static Task<Attached> attach(Client& client, std::string id, Client::AttachOptions options = {}) {
    Attached attached;
    auto out = sys::pipe(), err = sys::pipe();
    attached.out = std::move(out->read_end);
    attached.err = std::move(err->read_end);
    options.out = std::move(out->write_end);
    options.err = std::move(err->write_end);
    auto made = co_await client.attach(std::move(id), std::move(options));
    if (!made) {
      attached.error = made.error().message();
      co_return attached;
    }
    attached.attachment = std::move(*made);
    attached.in = attached.attachment->take_input();
    co_return attached;
  }
  // What is said until the other end closes. Blocking.
  static std::string all_of(const OwnFd& fd) {
    auto bytes = sys::read_all(fd, 16 << 20);
    EXPECT_TRUE(bytes.has_value());
    return bytes ? *bytes : "";
  }
  static Task<Result<StartedAnswer>> start_with_input(ShimTest& t, Client& client, std::string id,
                                                      const std::string& script) {
    StartRequest request;
    request.open_stdin = true;
    return t.start(client, std::move(id), t.shell_plan(script), request);
  }
};

TEST_F(ShimAttachTest, ReadersHearWhatTheLogHears) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    (void)co_await start_with_input(t, client, "c1", "echo early; read x; echo hello $x; echo to err >&2; exit 3");
    EXPECT_TRUE(wait_for_text("/run/t/c1.log", "early"));
    auto first = co_await attach(client, "c1", {.in = true});
    auto second = co_await attach(client, "c1");
    EXPECT_EQ(first.error + second.error, "");
    EXPECT_TRUE(sys::write_all(first.in, "you\n").has_value());
    EXPECT_TRUE((co_await first.attachment->wait()).has_value());
    EXPECT_TRUE((co_await second.attachment->wait()).has_value());
    for (const auto* attached : {&first, &second}) {
      EXPECT_EQ(all_of(attached->out), "hello you\n");
      EXPECT_EQ(all_of(attached->err), "to err\n");
    }
    EXPECT_EQ((co_await ends.of("c1")).code, 3);
    EXPECT_EQ(log_content("/run/t/c1.log", "stdout"), "early\nhello you\n");
    auto late = co_await attach(client, "c1");
    EXPECT_EQ(late.error, "container c1 is not running");
  });
}

// However late the log writer comes to it: what the shim told it comes before what the container said since.
TEST_F(ShimAttachTest, WhoAttachedBeforeItWasSaidHearsIt) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    (void)co_await start_with_input(t, client, "c1", "read x; echo hello; exec <&-; exec busybox sleep 1000");
    const pid_t writer = t.log_writer_of(client);
    EXPECT_EQ(::kill(writer, SIGSTOP), 0);
    std::vector<Attached> readers;
    readers.push_back(co_await attach(client, "c1", {.in = true}));
    while (readers.size() < 8) readers.push_back(co_await attach(client, "c1"));
    EXPECT_TRUE(sys::write_all(readers[0].in, "go\n").has_value());
    // It has said it when nobody reads its input any more.
    pollfd closed{readers[0].in.get(), 0, 0};
    EXPECT_EQ(::poll(&closed, 1, 30'000), 1);
    EXPECT_EQ(::kill(writer, SIGCONT), 0);
    EXPECT_TRUE((co_await client.kill("c1")).has_value());
    (void)co_await ends.of("c1");
    for (const Attached& reader : readers) EXPECT_EQ(all_of(reader.out), "hello\n");
  });
}

TEST_F(ShimAttachTest, InputEndsWhenItIsClosed) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    (void)co_await start_with_input(t, client, "c1", "cat; echo end");
    auto attached = co_await attach(client, "c1", {.in = true});
    EXPECT_TRUE(sys::write_all(attached.in, "words\n").has_value());
    attached.in.close();
    EXPECT_TRUE((co_await client.close_input("c1")).has_value());
    EXPECT_EQ((co_await ends.of("c1")).code, 0);
    EXPECT_EQ(all_of(attached.out), "words\nend\n");
    (void)co_await t.start(client, "c2", t.shell_plan("busybox sleep 1000"));
    auto refused = co_await attach(client, "c2", {.in = true});
    EXPECT_EQ(refused.error, "container c2 has no standard input, or it was closed");
  });
}

TEST_F(ShimAttachTest, InputEndsWithItsOwnersConnection) {
  run([](ShimTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Ends ends(t.loop_);
    t.observe(*client, ends);
    (void)co_await start_with_input(t, *client, "c1", "cat; echo end");
    {
      auto other = co_await Client::connect(t.loop_, t.run_, "pod1.sock");
      EXPECT_TRUE(other.has_value()) << other.error().message();
      auto attached = co_await attach(**other, "c1", {.in = true, .close_input = true});
      EXPECT_EQ(attached.error, "");
    }
    EXPECT_EQ((co_await ends.of("c1")).code, 0);
    co_await client->shutdown();
  }(*this));
  remove_cgroups();
}

TEST_F(ShimAttachTest, WhoDoesNotReadIsCutOffAndTheContainerGoesOn) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    (void)co_await start_with_input(t, client, "c1", "read x; busybox seq 1 400000; echo end >&2");
    auto lazy = co_await attach(client, "c1", {.in = true});
    auto eager = co_await attach(client, "c1");
    std::string heard;
    std::thread listener([&] { heard = all_of(eager.out); });
    EXPECT_TRUE(sys::write_all(lazy.in, "go\n").has_value());
    auto end = co_await lazy.attachment->wait();
    EXPECT_TRUE(!end && end.error().code() == Code::kResourceExhausted);
    // It was held up with the container, and goes on with it.
    listener.join();
    EXPECT_EQ((co_await ends.of("c1")).code, 0);
    EXPECT_TRUE(heard.starts_with("1\n2\n") && heard.ends_with("\n400000\n"));
    EXPECT_EQ(log_content("/run/t/c1.log", "stdout"), heard);
    EXPECT_EQ(all_of(eager.err), "end\n");
  });
}

TEST_F(ShimAttachTest, ReadersThatComeAndGoLeaveNothing) {
  with_pod([](ShimTest& t, Client& client, Ends&) -> Task<> {
    (void)co_await t.start(client, "c1", t.shell_plan("while :; do echo x; done"));
    // The log writer has the container's descriptors, none of them is on its way.
    EXPECT_TRUE(wait_for_text("/run/t/c1.log", "x"));
    auto count = [&] { return t.fds_of(client.pid()) + t.fds_of(t.log_writer_of(client)); };
    std::size_t before = count(), after = 0;
    for (int made = 0; made < 1000;) {
      auto attached = co_await attach(client, "c1");
      if (attached.error.empty()) {
        ++made;
      } else {
        EXPECT_EQ(attached.error, "the pod's containers have 512 readers: wait for some to go");
        co_await Event(t.loop_).wait_for(1ms);
      }
    }
    // The log writer is told of their ends by their pipes; its timer may have come with the first that was slow.
    ++before;
    EXPECT_TRUE(co_await t.eventually([&] { return (after = count()) <= before; })) << after << ", " << before;
  });
}

}  // namespace
}  // namespace gantry::shim
