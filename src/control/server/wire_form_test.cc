// SPDX-License-Identifier: Apache-2.0
#include "control/server/wire_form.h"

#include "api/codec.h"
#include "control/server/server_fixture.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/meta/v1/object.pb.h"

namespace gantry::control {
namespace {

namespace core = k8s::io::api::core::v1;
constexpr char kProtobuf[] = "application/vnd.kubernetes.protobuf";
constexpr char kMaps[] = "/api/v1/namespaces/default/configmaps";

// Takes so many pieces, and then leaves.
class Reader final : public http::BodyWriter {
 public:
  Reader(Loop& loop, int writes) : closed_(std::make_shared<Event>(loop)), left_(writes) {}
  Task<Status> write(std::string_view bytes) override {
    const std::string_view pieces[] = {bytes};
    co_return co_await write(pieces);
  }
  Task<Status> write(std::span<const std::string_view> pieces) override {
    for (const std::string_view piece : pieces) text += piece;
    if (--left_ > 0) co_return Status();
    closed_->set();
    co_return fail(Code::kCancelled, "enough");
  }
  const std::shared_ptr<Event>& closed() const override { return closed_; }
  void cut_off() override {}

  std::string text;

 private:
  std::shared_ptr<Event> closed_;
  int left_;
};

class WireFormServer : public ServerTest {
 protected:
  http::Reply reply_of(std::string target) {
    http::Request request{.method = "GET", .target = std::move(target), .headers = {{"Accept", kProtobuf}}};
    return run(loop_, server_->handle(loop_, std::move(request)));
  }
  void make_two() {
    for (const char* name : {"a", "b"}) {
      const Answer made = post(
          kMaps, cat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")", name, R"("},"data":{"k":"v"}})"));
      ASSERT_EQ(made.code, 201);
    }
  }
};

TEST_F(WireFormServer, ListsInProtobuf) {
  make_two();
  const http::Reply reply = reply_of(cat(kMaps, "?limit=1"));
  EXPECT_EQ(http::find_header(reply.response.headers, "Content-Type"), kProtobuf);
  core::ConfigMapList list;
  const Status decoded = api::decode_protobuf(reply.response.body_bytes(), &list);
  ASSERT_TRUE(decoded) << decoded.error().message();
  const Answer json = get(cat(kMaps, "?limit=1"));
  EXPECT_EQ(api::encode(list).find("items")->as_list()->size(), 1U);
  EXPECT_EQ(*api::encode(list).find("metadata"), *json.body.find("metadata"));
  core::ConfigMap first = list.items(0);
  const Answer one = get(cat(kMaps, "/a"));
  EXPECT_EQ(*api::encode(first).find("metadata"), *one.body.find("metadata"));
}

// Bytes that nobody's program writes, in an etcd that others write to: fields out of order, and text that is none.
TEST_F(WireFormServer, WhatHasNoSuchFormIsAnError) {
  const std::string data("\x12\x06\x0a\x01k\x12\x01\xff", 8);
  const std::string metadata(
      "\x0a\x0c\x0a\x01m\x1a\x07"
      "default",
      14);
  ASSERT_TRUE(run(loop_, store_->write(loop_, {.key = "/registry/configmaps/default/m",
                                               .value = api::wrap("v1", "ConfigMap", data + metadata)})));
  const http::Reply reply = reply_of(kMaps);
  EXPECT_EQ(reply.response.status, 500);
  EXPECT_NE(reply.response.body_bytes().find("/registry/configmaps/default/m"), std::string_view::npos);

  http::Reply watch = reply_of(cat(kMaps, "?watch=true"));
  ASSERT_TRUE(watch.stream);
  Reader reader(loop_, 100);
  run(loop_, [](http::Reply& reply, Reader& reader) -> Task<bool> {
    co_await reply.stream(reader);
    co_return true;
  }(watch, reader));
  EXPECT_NE(reader.text.find("ERROR"), std::string::npos);
  EXPECT_EQ(reader.text.find("ADDED"), std::string::npos);

  core::Event event;
  event.mutable_metadata()->set_name("e");
  event.mutable_metadata()->set_namespace_("default");
  event.set_message("\xff");
  ASSERT_TRUE(run(loop_, store_->write(loop_, {.key = "/registry/events/default/e",
                                               .value = api::wrap("v1", "Event", event.SerializePartialAsString())})));
  const char converted[] = "/apis/events.k8s.io/v1/namespaces/default/events";
  EXPECT_EQ(reply_of(converted).response.status, 500);
}

TEST_F(WireFormServer, WatchesInProtobuf) {
  make_two();
  http::Reply reply = reply_of(cat(kMaps, "?watch=true"));
  EXPECT_EQ(http::find_header(reply.response.headers, "Content-Type"), cat(kProtobuf, ";stream=watch"));
  ASSERT_TRUE(reply.stream);
  Reader reader(loop_, 2);
  run(loop_, [](http::Reply& reply, Reader& reader) -> Task<bool> {
    co_await reply.stream(reader);
    co_return true;
  }(reply, reader));
  std::string_view rest = reader.text;
  for (const char* name : {"a", "b"}) {
    ASSERT_GE(rest.size(), 4U);
    size_t size = 0;
    for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(rest[static_cast<size_t>(i)]);
    k8s::io::apimachinery::pkg::apis::meta::v1::WatchEvent event;
    ASSERT_TRUE(event.ParseFromString(std::string(rest.substr(4, size))));
    rest.remove_prefix(4 + size);
    EXPECT_EQ(event.type(), "ADDED");
    core::ConfigMap map;
    ASSERT_TRUE(api::decode_protobuf(event.object().raw(), &map));
    EXPECT_EQ(map.metadata().name(), name);
    EXPECT_FALSE(map.metadata().resource_version().empty());
  }
  EXPECT_TRUE(rest.empty());
}

}  // namespace
}  // namespace gantry::control
