// SPDX-License-Identifier: Apache-2.0
// How long nodes may use what they have read, against a whole server in this process.
#include "control/controllers/node_ttl.h"

#include <algorithm>

#include "base/text.h"
#include "control/server/client_fixture.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {
namespace {

namespace core = k8s::io::api::core::v1;

class NodeTtlTest : public ClientTest {
 protected:
  NodeTtlTest() {
    loop_.post([this] { informers_.start_all(); });
    run_until([this] { return nodes().is_synced(); });
    controller_.start();
  }
  api::InformerOf<core::Node>& nodes() { return informers_.of<core::Node>(); }
  void add(int first, int last) {
    for (int i = first; i <= last; ++i) {
      core::Node node;
      node.mutable_metadata()->set_name(cat("n", i));
      ASSERT_TRUE(wait(client_.create(node)));
    }
  }
  void remove(int first, int last) {
    for (int i = first; i <= last; ++i) ASSERT_TRUE(wait(client_.remove<core::Node>("", cat("n", i))));
  }
  bool all_have(std::size_t count, const std::string& seconds) {
    const auto all = nodes().objects();
    return all.size() == count && std::ranges::all_of(all, [&](const auto& node) {
             const auto found = node->metadata().annotations().find("node.alpha.kubernetes.io/ttl");
             return found != node->metadata().annotations().end() && found->second == seconds;
           });
  }

  NodeTtl controller_{{loop_, client_, informers_, [this] { return now_; }}};
};

TEST_F(NodeTtlTest, TheMoreNodesTheLongerAndNotToAndFro) {
  add(1, 100);
  run_until([&] { return all_have(100, "0"); });
  add(101, 101);
  run_until([&] { return all_have(101, "15"); });
  remove(101, 101);
  remove(91, 100);
  run_until([&] { return all_have(90, "15"); });
  remove(90, 90);
  run_until([&] { return all_have(89, "0"); });
}

}  // namespace
}  // namespace gantry::control
