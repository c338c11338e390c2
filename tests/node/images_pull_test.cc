// SPDX-License-Identifier: Apache-2.0
// deps: gantry_images
// Pulling with all of its threads, from a registry of a few lines; under sanitizers, too. What registries do wrong is
// in tests/conformance/registry_faults.py.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <future>
#include <list>
#include <mutex>
#include <set>
#include <thread>
#include <tuple>

#include "base/text.h"
#include "images/registry/keyring.h"
#include "images/registry/pull.h"
#include "tests/support/image_world.h"

namespace gantry::images {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Answers each connection's one request with what the path has; "" is never answered.
class SmallRegistry {
 public:
  SmallRegistry() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_.get(), 64), 0);
    EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    host_ = cat("127.0.0.1:", ntohs(address.sin_port));
    acceptor_ = std::thread([this] { accept(); });
  }
  ~SmallRegistry() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
  }

  // Serves an image of these layers; its reference.
  Reference put(const std::string& name, const std::vector<std::string>& layers,
                const std::string& architecture = std::string(kHostArchitecture)) {
    ImageConfig config;
    config.architecture = architecture;
    config.os = "linux";
    std::vector<Descriptor> list;
    for (const std::string& layer : layers) {
      config.diff_ids.push_back(digest_of(layer));
      const std::string packed = test::gzip(layer);
      list.push_back({cat(kOciLayer, "+gzip"), digest_of(packed), packed.size(), std::nullopt, {}});
      route(name, "blobs", list.back().digest.to_string(), packed);
    }
    const std::string text = to_json(config);
    Descriptor described{kOciConfig, digest_of(text), text.size(), std::nullopt, {}};
    route(name, "blobs", described.digest.to_string(), text);
    route(name, "manifests", "1", manifest_json(described, list));
    return *parse_reference(cat(host_, "/", name, ":1"));
  }
  void route(const std::string& name, std::string_view kind, std::string_view what, const std::string& body) {
    respond(cat("/v2/", name, "/", kind, "/", what),
            cat("HTTP/1.1 200 OK\r\nContent-Type: ", kind == "manifests" ? kOciManifest : "application/octet-stream",
                "\r\nContent-Length: ", body.size(), "\r\nConnection: close\r\n\r\n", body));
  }
  void respond(const std::string& path, const std::string& answer) {
    std::lock_guard guard(mutex_);
    answers_[path] = answer;
  }
  std::multiset<std::string> asked() {
    std::lock_guard guard(mutex_);
    return asked_;
  }

 private:
  void accept() {
    for (;;) {
      OwnFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!peer.is_open()) return;
      threads_.emplace_back([this, peer = std::move(peer)] { serve(peer); });
    }
  }
  void serve(FdRef peer) {
    std::string head;
    char block[4096];
    while (head.find("\r\n\r\n") == std::string::npos) {
      auto count = sys::read(peer, block, sizeof(block));
      if (!count || *count == 0) return;
      head.append(block, *count);
    }
    const std::string path = head.substr(4, head.find(' ', 4) - 4);
    std::string answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    {
      std::lock_guard guard(mutex_);
      asked_.insert(path);
      if (auto found = answers_.find(path); found != answers_.end()) answer = found->second;
    }
    for (std::string_view rest = answer; !rest.empty();) {
      ssize_t sent = ::send(peer.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      rest.remove_prefix(static_cast<std::size_t>(sent));
    }
    if (answer.empty()) (void)sys::read(peer, block, 1);  // until the client has had enough
  }

  OwnFd listener_;
  std::string host_;
  std::thread acceptor_;
  std::list<std::thread> threads_;  // the acceptor's
  std::mutex mutex_;
  std::map<std::string, std::string> answers_;
  std::multiset<std::string> asked_;
};

std::vector<std::string> many_layers(int count, std::size_t size) {
  std::vector<std::string> layers;
  for (int i = 0; i < count; ++i) {
    layers.push_back(Tar().folder("./").file(cat("file-", i), std::string(size, static_cast<char>('a' + i))).bytes());
  }
  return layers;
}

class PullTest : public ImagesTest {
 protected:
  Result<Image> pull(const Reference& reference, std::vector<PullProgress>* progress = nullptr) {
    PullOptions options;
    options.registry.patience = std::chrono::seconds(300);
    if (progress != nullptr) options.progress = [progress](const PullProgress& one) { progress->push_back(one); };
    return images::pull(store(), reference, options);
  }
};

TEST_F(PullTest, LayersComeSideBySide) {
  SmallRegistry registry;
  auto reference = registry.put("a/b", many_layers(8, 1 << 20));
  std::vector<PullProgress> progress;
  auto image = pull(reference, &progress);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_THAT(image->tags, ElementsAre(reference.to_string()));
  ASSERT_THAT(progress, SizeIs(8));
  EXPECT_EQ(progress.back().done, 8U);
  EXPECT_EQ(progress.back().layers, 8U);
  auto root = store().prepare_root(reference.to_string(), "c1");
  ASSERT_TRUE(root) << root.error().message();
  ASSERT_THAT(root->lower, SizeIs(8));
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(slurp(root_ / "data/store" / root->lower[static_cast<std::size_t>(7 - i)] / cat("file-", i)),
              std::string(1 << 20, static_cast<char>('a' + i)));
  }
  progress.clear();
  EXPECT_TRUE(pull(registry.put("a/more", many_layers(9, 1 << 20)), &progress));
  ASSERT_THAT(progress, SizeIs(9));
  EXPECT_EQ(std::ranges::count_if(progress, [](const PullProgress& one) { return one.was_here; }), 8);
}

TEST_F(PullTest, TheFirstFailureEndsTheOthers) {
  SmallRegistry registry;
  auto layers = many_layers(3, 1000);
  auto reference = registry.put("a/b", layers);
  auto path = [&](int i) {
    return cat("/v2/a/b/blobs/", digest_of(test::gzip(layers[static_cast<std::size_t>(i)])).to_string());
  };
  registry.respond(path(0), "");
  registry.respond(path(1), "");
  registry.respond(path(2), "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  const auto start = std::chrono::steady_clock::now();
  auto image = pull(reference);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(200)) << "the two that hang are let go";
  ASSERT_FALSE(image);
  EXPECT_TRUE(image.error().is_not_found()) << image.error().message();
  EXPECT_THAT(image.error().message(), HasSubstr("404"));
  EXPECT_EQ(count("i"), 0U);
  EXPECT_EQ(count("l"), 0U);
  EXPECT_EQ(count("blobs"), 0U);
}

// A worker that reads a little and then does what it should not.
TEST_F(PullTest, AWorkerThatDiesOrHangsIsAnError) {
  SmallRegistry registry;
  auto reference = registry.put("a/b", many_layers(4, 8 << 20));
  constexpr std::chrono::seconds kShort{1}, kLong{60};
  const std::tuple<const char*, const char*, std::chrono::seconds> moods[] = {
      {"head -c 100 > /dev/null; kill -SEGV $$", "signal 11", kLong},
      {"head -c 100 > /dev/null; exec sleep 1000", "nothing for 1000 ms", kShort},
      {"exit 7", "code 7", kLong}};
  for (const auto& [mood, part, patience] : moods) {
    const std::string program = root_ / "worker";
    std::ofstream(program) << "#!/bin/sh\n" << mood << "\n";
    fs::permissions(program, fs::perms::owner_all);
    UnpackOptions options = test_options();
    options.program = program;
    options.patience = patience;
    store_.reset();
    store_ = std::move(*ImageStore::open((root_ / "data").string(), StoreOptions{options}));
    auto image = pull(reference);
    ASSERT_FALSE(image) << mood;
    EXPECT_THAT(image.error().message(),
                AllOf(HasSubstr("layer sha256:"), HasSubstr("the unpack worker"), HasSubstr(part)));
    for (const char* folder : {"i", "l", "blobs"}) EXPECT_EQ(count(folder), 0U) << folder;
  }
  reopen();
  EXPECT_TRUE(pull(reference));
}

// Another password can't help: each would fetch everything again, and the error would blame the keyring.
TEST_F(PullTest, OnlyARefusalLeadsToTheNextPassword) {
  SmallRegistry registry;
  auto reference = registry.put("a/b", many_layers(1, 1000), "s390x");
  fs::create_directories(root_ / "docker");
  std::ofstream(root_ / "docker/config.json")
      << R"({"auths": {")" << reference.domain << R"(/a": {"username": "me", "password": "1"}, ")" << reference.domain
      << R"(": {"username": "me", "password": "2"}}})";
  Keyring keyring({.docker_configs = {(root_ / "docker/config.json").string()}});
  ASSERT_EQ(keyring.find(cat(reference.domain, "/a/b")).credentials.size(), 2U);
  PullOptions options;
  options.registry.keyring = &keyring;
  auto image = images::pull(store(), reference, options);
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().message(), HasSubstr("no image for linux/"));
  EXPECT_EQ(registry.asked().count("/v2/a/b/manifests/1"), 1U);
  registry.respond("/v2/a/b/manifests/1", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  EXPECT_FALSE(images::pull(store(), reference, options));
  EXPECT_EQ(registry.asked().count("/v2/a/b/manifests/1"), 3U) << "a refusal does";
}

TEST_F(PullTest, EndsWhenItIsAskedTo) {
  SmallRegistry registry;
  auto layers = many_layers(3, 1000);
  auto reference = registry.put("a/b", layers);
  for (const std::string& layer : layers)
    registry.respond(cat("/v2/a/b/blobs/", digest_of(test::gzip(layer)).to_string()), "");
  auto silent = registry.put("a/silent", layers);
  registry.respond("/v2/a/silent/manifests/1", "");
  for (const Reference& one : {reference, silent}) {
    std::stop_source stop;
    PullOptions options;
    options.registry.patience = std::chrono::seconds(300);
    options.stop = stop.get_token();
    auto pulled = std::async(std::launch::async, [&] { return images::pull(store(), one, options); });
    const std::string last = one.to_string() == silent.to_string()
                                 ? "/v2/a/silent/manifests/1"
                                 : cat("/v2/a/b/blobs/", digest_of(test::gzip(layers[2])).to_string());
    while (registry.asked().count(last) == 0) std::this_thread::yield();
    stop.request_stop();
    ASSERT_EQ(pulled.wait_for(std::chrono::seconds(60)), std::future_status::ready);
    auto image = pulled.get();
    ASSERT_FALSE(image);
    EXPECT_TRUE(image.error().is_cancelled()) << image.error().message();
    EXPECT_EQ(count("i"), 0U);
    EXPECT_EQ(count("l"), 0U);
  }
}

TEST_F(PullTest, EndedAtAnyMomentItLeavesTheStoreAsItWas) {
  SmallRegistry registry;
  auto reference = registry.put("a/b", many_layers(4, 1 << 20));
  std::optional<Image> image;
  std::size_t last = 0;  // the call of ours in which it was ended
  for (; !image && last < 1000; ++last) {
    std::stop_source stop;
    std::atomic<std::size_t> calls = 0;
    PullOptions options;
    options.registry.patience = std::chrono::seconds(300);
    options.stop = stop.get_token();
    options.progress = [&](const PullProgress&) {
      if (calls++ == last) stop.request_stop();
    };
    options.moved = [&](const PullBytes&) {
      if (calls++ == last) stop.request_stop();
    };
    auto pulled = images::pull(store(), reference, options);
    if (pulled) {
      image = std::move(*pulled);
      continue;
    }
    EXPECT_TRUE(pulled.error().is_cancelled()) << pulled.error().message();
    for (const char* folder : {"i", "l", "blobs"}) EXPECT_EQ(count(folder), 0U) << folder << " after call " << last;
  }
  ASSERT_TRUE(image);
  EXPECT_GT(last, 4U);
  EXPECT_EQ(count("l"), 4U);
}

TEST_F(PullTest, WhoWaitsForALayerOfOneThatIsEndedFetchesIt) {
  SmallRegistry registry;
  auto layers = many_layers(2, 1000);
  auto ended = registry.put("a/ended", layers);
  auto other = registry.put("a/other", layers);
  const std::string shared = cat("blobs/", digest_of(test::gzip(layers[0])).to_string());
  registry.respond(cat("/v2/a/ended/", shared), "");
  std::stop_source stop;
  PullOptions options;
  options.registry.patience = std::chrono::seconds(300);
  options.stop = stop.get_token();
  auto first = std::async(std::launch::async, [&] { return images::pull(store(), ended, options); });
  while (registry.asked().count(cat("/v2/a/ended/", shared)) == 0) std::this_thread::yield();
  std::promise<void> has_other;  // layer of its own: of the first one it has only to wait
  auto second = std::async(std::launch::async, [&] {
    PullOptions more;
    more.progress = [&, told = false](const PullProgress&) mutable {
      if (!std::exchange(told, true)) has_other.set_value();
    };
    return images::pull(store(), other, more);
  });
  has_other.get_future().wait();
  EXPECT_EQ(registry.asked().count(cat("/v2/a/other/", shared)), 0U);
  stop.request_stop();
  EXPECT_FALSE(first.get());
  auto image = second.get();
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(registry.asked().count(cat("/v2/a/other/", shared)), 1U);
  EXPECT_EQ(count("i"), 0U);
}

TEST_F(PullTest, TwoThatShareLayersAreStoredOnce) {
  SmallRegistry registry;
  auto first = registry.put("a/first", many_layers(3, 1 << 20));
  auto second = registry.put("a/second", many_layers(4, 1 << 20));
  store();
  Result<Image> results[4] = {fail(Code::kUnknown, ""), fail(Code::kUnknown, ""), fail(Code::kUnknown, ""),
                              fail(Code::kUnknown, "")};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&, i] { results[i] = pull(i % 2 == 0 ? first : second); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_TRUE(result) << result.error().message();
  EXPECT_EQ(count("l"), 4U);
  EXPECT_EQ(count("i"), 0U);
  EXPECT_THAT(store().list()->images, SizeIs(2));
}

}  // namespace
}  // namespace gantry::images
