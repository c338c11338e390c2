// SPDX-License-Identifier: Apache-2.0
#include "control/services/own_slices.h"

#include <gmock/gmock.h>

#include "control/services/names.h"
#include "control/services/services_fixture.h"

namespace gantry::control::services {
namespace {

using testing::SizeIs;

constexpr char kService[] = "default/web";
constexpr char kOurs[] = "controller.example.com";

class OwnSlicesTest : public ServicesTest {
 protected:
  struct Nobody final : Controller {
    void start() override {}
  };
  void SetUp() override {
    ServicesTest::SetUp();
    Nobody nobody;
    start(nobody);
  }
  static EndpointSlice slice(const std::string& name, const std::string& manager = kOurs) {
    EndpointSlice out;
    out.mutable_metadata()->set_namespace_("default");
    out.mutable_metadata()->set_name(name);
    (*out.mutable_metadata()->mutable_labels())[kServiceName] = "web";
    (*out.mutable_metadata()->mutable_labels())[kManagedBy] = manager;
    out.set_address_type("IPv4");
    return out;
  }
  // When all that was written is seen.
  std::vector<SlicePtr> seen() {
    std::optional<std::vector<SlicePtr>> out;
    run_until([&] { return (out = slices_.of(kService)).has_value(); });
    return out.value_or(std::vector<SlicePtr>());
  }

  int changes_ = 0;
  OwnSlices slices_{parts(), kOurs, [this](const std::string& key) {
                      EXPECT_EQ(key, kService);
                      ++changes_;
                    }};
};

TEST_F(OwnSlicesTest, WhatIsWrittenIsSeenBeforeAnythingIsSaid) {
  ASSERT_TRUE(wait(slices_.write(kService, {.create = {slice("a"), slice("b")}, .update = {}, .remove = {}})));
  std::vector<SlicePtr> found = seen();
  ASSERT_THAT(found, SizeIs(2));
  EndpointSlice changed = *found[0];
  changed.add_endpoints()->add_addresses("10.0.0.1");
  ASSERT_TRUE(wait(slices_.write(kService, {.create = {}, .update = {changed}, .remove = {found[1]}})));
  found = seen();
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0]->endpoints_size(), 1);
}

TEST_F(OwnSlicesTest, OthersChangesAreTold) {
  made(wait(client_.create(slice("others", "else.example.com"))));
  const EndpointSlice ours = made(wait(client_.create(slice("ours"))));
  run_until([&] { return changes_ > 0; });
  ASSERT_THAT(seen(), SizeIs(1));
  EXPECT_TRUE(slices_.is_taken("default", "others"));
  changes_ = 0;
  EndpointSlice given_up = ours;
  (*given_up.mutable_metadata()->mutable_labels())[kManagedBy] = "else.example.com";
  made(wait(client_.update(given_up)));
  run_until([&] { return changes_ > 0; });
  EXPECT_THAT(seen(), SizeIs(0));
}

TEST_F(OwnSlicesTest, WhatChangedMeanwhileIsLeftAsItIs) {
  const EndpointSlice old = made(wait(client_.create(slice("a"))));
  EndpointSlice newer = old;
  newer.add_endpoints()->add_addresses("10.0.0.1");
  made(wait(client_.update(newer)));
  const auto ptr = std::make_shared<EndpointSlice>(old);
  EXPECT_TRUE(wait(slices_.write(kService, {.create = {}, .update = {old}, .remove = {ptr}})));
  run_until([&] {
    const std::optional<std::vector<SlicePtr>> found = slices_.of(kService);
    return found && found->size() == 1 && found->front()->endpoints_size() == 1;
  });
}

TEST_F(OwnSlicesTest, OfAServiceThatIsForgottenNothingIsTold) {
  ASSERT_TRUE(wait(slices_.write(kService, {.create = {slice("a")}, .update = {}, .remove = {}})));
  // As a rule it is not seen yet, and held.
  (void)slices_.of(kService);
  slices_.forget(kService);
  run_until([&] { return slices_.is_taken("default", "a"); });
  changes_ = 0;
  made(wait(client_.create(slice("others", "else.example.com"))));
  run_until([&] { return slices_.is_taken("default", "others"); });
  EXPECT_EQ(changes_, 0);
}

}  // namespace
}  // namespace gantry::control::services
