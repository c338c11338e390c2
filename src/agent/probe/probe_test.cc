// SPDX-License-Identifier: Apache-2.0
// Each way of asking, against servers on loopback.
#include "agent/probe/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>

#include "agent/fake_runtime.h"
#include "grpc/health/v1/health.pb.h"
#include "http/listen.h"
#include "http/server.h"
#include "http/test_certificates.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;
using Verdict = ProbeOutcome::Verdict;

constexpr Duration kLong = 20s;

class ProbeTest : public testing::Test {
 protected:
  ProbeTest() : runtime_(loop_), means_(loop_, runtime_) {}

  // A web server that answers with `handler`.
  void serve(http::Handler handler, bool with_tls = false) {
    auto listener = http::listen_tcp("127.0.0.1", 0);
    ASSERT_TRUE(listener);
    port_ = listener->port;
    std::shared_ptr<http::TlsServer> tls;
    if (with_tls) {
      auto pair = http::TestAuthority("nobody knows").server();
      tls = *http::TlsServer::make({.certificate_pem = pair.certificate, .key_pem = pair.key, .client_ca_pem = ""});
    }
    server_ = std::make_unique<http::Server>(loop_, std::move(handler), http::Limits{});
    server_->serve(std::move(listener->socket), tls);
  }
  // Whoever connects is given `answer`, after the first bytes that he sends; then nothing.
  void speak(std::string answer) {
    auto listener = http::listen_tcp("127.0.0.1", 0);
    ASSERT_TRUE(listener);
    port_ = listener->port;
    loop_.spawn([](Loop& loop, SocketFd socket, std::string text) -> Task<> {
      Watch watch(loop, socket.ref());
      if (!co_await watch.readable()) co_return;
      SocketFd taken(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      auto stream = http::make_socket_stream(loop, std::move(taken));
      std::array<char, 4096> buffer;
      auto size = co_await stream->read(buffer);
      if (size && !text.empty()) (void)co_await stream->write(text);
      while (size && *size > 0) size = co_await stream->read(buffer);
    }(loop_, std::move(listener->socket), std::move(answer)));
  }
  ProbeOutcome ask(ProbeAction action, Duration limit = kLong) {
    ProbeOutcome outcome;
    loop_.spawn([](ProbeTest& self, ProbeAction action, Duration limit, ProbeOutcome& outcome) -> Task<> {
      outcome = co_await agent::ask(self.means_, std::move(action), limit, nullptr);
      self.loop_.stop();
    }(*this, std::move(action), limit, outcome));
    loop_.run();
    return outcome;
  }
  HttpProbe get(const std::string& path, std::map<std::string, std::string> headers = {}) {
    core::HTTPGetAction action;
    action.set_path(path);
    for (const auto& [name, value] : headers) {
      action.add_http_headers()->set_name(name);
      action.mutable_http_headers()->rbegin()->set_value(value);
    }
    return http_probe(action, port_, "127.0.0.1");
  }

  Loop loop_;
  FakeRuntime runtime_;
  ProbeMeans means_;
  std::uint16_t port_ = 0;
  std::unique_ptr<http::Server> server_;
};

http::Handler answering(std::function<http::Response(const http::Request&)> answer) {
  return [answer](http::Request request) -> Task<http::Reply> { co_return http::Reply{.response = answer(request)}; };
}

TEST_F(ProbeTest, AWebServerIsAskedAsKubeletAsks) {
  http::Request seen;
  serve(answering([&](const http::Request& request) {
    seen = request;
    return http::text_response(200, "fine\xff");
  }));
  ProbeOutcome outcome = ask(get("healthz?a=1 2#part"));
  EXPECT_EQ(outcome.verdict, Verdict::kSuccess);
  EXPECT_THAT(outcome.output, StartsWith("fine\\xff"));
  EXPECT_EQ(seen.target, "/healthz?a=1%202");
  EXPECT_EQ(seen.header("User-Agent"), kProbeUserAgent);
  EXPECT_EQ(seen.header("Accept"), "*/*");
  EXPECT_EQ(seen.header("Host"), "127.0.0.1:" + std::to_string(port_));
  (void)ask(get("/", {{"Host", "example.org"}, {"accept", "text/plain"}, {"User-Agent", ""}, {"X-One", "1"}}));
  EXPECT_EQ(seen.header("Host"), "example.org");
  EXPECT_EQ(seen.values("Accept").size(), 1u);
  EXPECT_EQ(seen.header("Accept"), "text/plain");
  EXPECT_EQ(seen.header("User-Agent"), "");
  EXPECT_EQ(seen.header("X-One"), "1");
}

TEST_F(ProbeTest, WhatAWebServerSaysIsJudgedByItsStatus) {
  serve(answering([&](const http::Request& request) {
    http::Response response = http::text_response(std::stoi(request.target.substr(1)), "text");
    return response;
  }));
  EXPECT_EQ(ask(get("/204")).verdict, Verdict::kSuccess);
  EXPECT_EQ(ask(get("/399")).verdict, Verdict::kWarning);
  EXPECT_EQ(ask(get("/302")).verdict, Verdict::kWarning) << "without a Location";
  EXPECT_EQ(ask(get("/500")).verdict, Verdict::kFailure);
  EXPECT_EQ(ask(get("/404")).output, "HTTP probe failed with statuscode: 404");
}

TEST_F(ProbeTest, RedirectsAreFollowedOnTheSameHost) {
  serve(answering([&](const http::Request& request) {
    http::Response response = http::text_response(302, "over there");
    if (request.target == "/good") return http::text_response(200, "here");
    if (request.target == "/near/by") response.headers.emplace_back("Location", "../good");
    if (request.target == "/far") response.headers.emplace_back("Location", "http://elsewhere.example/");
    if (request.target == "/round") response.headers.emplace_back("Location", "/round");
    if (request.target == "/odd") response.headers.emplace_back("Location", "ftp://127.0.0.1/");
    return response;
  }));
  EXPECT_EQ(ask(get("/near/by")).output, "here\n");
  ProbeOutcome far = ask(get("/far"));
  EXPECT_EQ(far.verdict, Verdict::kWarning);
  EXPECT_EQ(far.output, "Probe terminated redirects, Response body: over there\n");
  EXPECT_THAT(ask(get("/round")).output, HasSubstr("stopped after 10 redirects"));
  EXPECT_EQ(ask(get("/odd")).verdict, Verdict::kFailure);
}

TEST_F(ProbeTest, ACertificateIsNotLookedAt) {
  serve(answering([](const http::Request&) { return http::text_response(200, "secret"); }), true);
  HttpProbe probe = get("/");
  EXPECT_EQ(ask(probe).verdict, Verdict::kFailure) << "plain to TLS";
  probe.url.tls = true;
  EXPECT_EQ(ask(probe).output, "secret\n");
}

TEST_F(ProbeTest, ALongAnswerIsReadInPart) {
  speak("HTTP/1.1 200 OK\r\n\r\n" + std::string(100'000, 'x'));
  ProbeOutcome outcome = ask(get("/"));
  EXPECT_EQ(outcome.verdict, Verdict::kSuccess);
  EXPECT_EQ(outcome.output.size(), kMaxProbeOutput);
}

TEST_F(ProbeTest, WhoDoesNotAnswerInTimeHasFailed) {
  speak("");
  ProbeOutcome outcome = ask(get("/slow"), 20ms);
  EXPECT_EQ(outcome.verdict, Verdict::kFailure);
  EXPECT_THAT(outcome.output, HasSubstr("context deadline exceeded"));
  EXPECT_THAT(outcome.output, StartsWith("Get \"http://127.0.0.1:"));
  speak("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
  EXPECT_THAT(ask(get("/half"), 20ms).output, HasSubstr("context deadline exceeded"));
  speak("");
  EXPECT_THAT(ask(GrpcProbe{"127.0.0.1", port_, ""}, 20ms).output, StartsWith("timeout: "));
}

TEST_F(ProbeTest, WhatIsNoAnswerIsAFailure) {
  speak("SSH-2.0-x\r\n");
  EXPECT_EQ(ask(get("/")).verdict, Verdict::kFailure);
  speak("SSH-2.0-x\r\n");
  EXPECT_THAT(ask(GrpcProbe{"127.0.0.1", port_, ""}).output, StartsWith("error: health rpc probe failed: "));
}

TEST_F(ProbeTest, APortThatSomebodyListensOn) {
  auto listener = http::listen_tcp("127.0.0.1", 0);
  ASSERT_TRUE(listener);
  EXPECT_EQ(ask(TcpProbe{"127.0.0.1", listener->port}).verdict, Verdict::kSuccess);
  listener->socket = SocketFd();
  ProbeOutcome closed = ask(TcpProbe{"127.0.0.1", listener->port});
  EXPECT_EQ(closed.verdict, Verdict::kFailure);
  EXPECT_THAT(closed.output, HasSubstr("refused"));
  EXPECT_THAT(ask(GrpcProbe{"127.0.0.1", listener->port, ""}).output, StartsWith("error: failed to connect service"));
}

TEST(GrpcProbe, HealthIsJudgedByTheAnswer) {
  const auto judged = [](const std::string& status, const std::string& body) {
    return judge_health({"200", status, "no%20such", body});
  };
  const std::string prefix("\0\0\0\0\x02", 5);
  EXPECT_EQ(judged("0", prefix + "\x08\x01").verdict, Verdict::kSuccess);
  EXPECT_EQ(judged("0", prefix + "\x08\x02").output, "service unhealthy (responded with \"NOT_SERVING\")");
  EXPECT_EQ(judged("0", std::string(5, '\0')).output, "service unhealthy (responded with \"UNKNOWN\")");
  EXPECT_THAT(judged("12", "").output, StartsWith("error: this server does not implement the grpc health protocol"));
  EXPECT_EQ(judged("5", "").output, "error: health rpc probe failed: code 5, HTTP status 200 no%20such");
  EXPECT_EQ(judged("0", "").verdict, Verdict::kFailure);
  EXPECT_EQ(judged("0", prefix + "\xff\xff").verdict, Verdict::kFailure);
  // A part of one, and two.
  EXPECT_EQ(judged("0", prefix).verdict, Verdict::kFailure);
  EXPECT_EQ(judged("0", prefix + "\x08\x01" + prefix + "\x08\x01").verdict, Verdict::kFailure);
}

TEST_F(ProbeTest, ACommandSucceedsWithExitCodeZero) {
  v1::ExecSyncRequest asked;
  Result<v1::ExecSyncResponse> answer = v1::ExecSyncResponse();
  runtime_.on_exec = [&](const v1::ExecSyncRequest& request) {
    asked = request;
    return answer;
  };
  answer->set_stdout("out");
  answer->set_stderr(std::string(2 * kMaxProbeOutput, 'e'));
  ProbeOutcome good = ask(ExecProbe{"c1", {"cat", "/x"}}, 3s);
  EXPECT_EQ(good.verdict, Verdict::kSuccess);
  EXPECT_EQ(good.output.size(), kMaxProbeOutput);
  EXPECT_EQ(asked.container_id(), "c1");
  EXPECT_EQ(asked.cmd_size(), 2);
  EXPECT_EQ(asked.timeout(), 3);
  answer->set_exit_code(1);
  EXPECT_EQ(ask(ExecProbe{"c1", {"false"}}).verdict, Verdict::kFailure);
  answer = fail(Code::kDeadlineExceeded, "late");
  EXPECT_EQ(ask(ExecProbe{"c1", {"sleep", "9"}}, 1s).output, "command timed out: \"sleep 9\" timed out after 1s");
  answer = fail(Code::kUnavailable, "no runtime");
  ProbeOutcome unknown = ask(ExecProbe{"c1", {"true"}});
  EXPECT_EQ(unknown.verdict, Verdict::kUnknown);
  EXPECT_EQ(unknown.output, "no runtime");
  answer = fail(Code::kNotFound, "gone");
  EXPECT_THAT(ask(ExecProbe{"c1", {"true"}}).output, IsEmpty());
}

TEST(ProbeAction, IsWhatTheSpecAsksFor) {
  core::Container container;
  auto& port = *container.add_ports();
  port.set_name("web");
  port.set_container_port(8080);
  auto& variable = *container.add_env();
  variable.set_name("FILE");
  variable.set_value("/ready");
  core::ProbeHandler handler;
  handler.mutable_exec()->add_command("cat");
  handler.mutable_exec()->add_command("$(FILE)$(NONE)");
  auto exec = std::get<ExecProbe>(*probe_action(handler, container, "id", "10.0.0.1"));
  EXPECT_THAT(exec.command, testing::ElementsAre("cat", "/ready$(NONE)"));

  handler.Clear();
  handler.mutable_http_get()->mutable_port()->set_type(1);
  handler.mutable_http_get()->mutable_port()->set_str_val("web");
  handler.mutable_http_get()->set_scheme("HTTPS");
  auto http = std::get<HttpProbe>(*probe_action(handler, container, "id", "fd00::1"));
  EXPECT_EQ(http.url.text(), "https://[fd00::1]:8080/");
  handler.mutable_http_get()->mutable_port()->set_str_val("other");
  EXPECT_EQ(probe_action(handler, container, "id", "10.0.0.1").error().message(), "couldn't find port: \"other\"");

  handler.Clear();
  handler.mutable_tcp_socket()->mutable_port()->set_int_val(81);
  handler.mutable_tcp_socket()->set_host("example.org");
  auto tcp = std::get<TcpProbe>(*probe_action(handler, container, "id", "10.0.0.1"));
  EXPECT_EQ(tcp.host, "example.org");
  EXPECT_EQ(tcp.port, 81);
  handler.mutable_tcp_socket()->mutable_port()->set_int_val(70000);
  EXPECT_FALSE(probe_action(handler, container, "id", "10.0.0.1"));
}

TEST(FollowLocation, LeadsWhereTheStandardSays) {
  const ProbeUrl base{false, "10.0.0.1", 8080, "/a/b?q=1"};
  const auto to = [&](std::string_view location) {
    auto url = follow_location(base, location);
    return url ? url->text() : "error: " + url.error().message();
  };
  EXPECT_EQ(to("c"), "http://10.0.0.1:8080/a/c");
  EXPECT_EQ(to("/c?x#y"), "http://10.0.0.1:8080/c?x");
  EXPECT_EQ(to("../../c/./d/.."), "http://10.0.0.1:8080/c/");
  EXPECT_EQ(to("?x"), "http://10.0.0.1:8080/a/b?x");
  EXPECT_EQ(to("#x"), "http://10.0.0.1:8080/a/b?q=1");
  EXPECT_EQ(to("//other/c"), "http://other:80/c");
  EXPECT_EQ(to("https://u:p@[fd00::1]"), "https://[fd00::1]:443/");
  EXPECT_EQ(to("HTTP://h:81?x"), "http://h:81/?x");
  for (const char* bad : {"http:c", "ftp://h/", "http://h:0/", "http://h:99999/", "http://", "http://[::1/",
                          "http://[[x]/", "http://a]b/", "http://[h]/", "http://h\"/", "a b", "\r\n"}) {
    EXPECT_THAT(to(bad), StartsWith("error: ")) << bad;
  }
}

}  // namespace
}  // namespace gantry::agent
