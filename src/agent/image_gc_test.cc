// SPDX-License-Identifier: Apache-2.0
#include "agent/image_gc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/fake_runtime.h"

namespace gantry::agent {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A disk of 100 blocks of 1 MB; what no image takes, something else does.
class ImageGcTest : public ::testing::Test {
 protected:
  void image(const std::string& id, std::uint64_t blocks, bool pinned = false) {
    v1::Image made;
    made.set_id(id);
    made.set_size(blocks);
    made.set_pinned(pinned);
    runtime_.stored[id] = made;
  }
  void container(const std::string& name, const std::string& image_id, const std::string& volume = "") {
    fake::Container& made = runtime_.containers[name];
    made.status.set_id(name);
    made.status.set_image_id(image_id);
    made.status.set_state(v1::CONTAINER_EXITED);
    if (!volume.empty()) made.status.add_mounts()->mutable_image()->set_image_ref(volume);
  }
  Result<DiskSpace> space(const std::string& path) const {
    EXPECT_EQ(path, "/store");
    std::uint64_t used = others_;
    for (const auto& [id, image] : runtime_.stored) used += image.size();
    return DiskSpace{100'000'000, (100 - used) * 1'000'000};
  }
  ImageGc& gc(const ImageGcLimits& limits = {}) {
    if (!gc_) gc_.emplace(runtime_, runtime_, limits, [this](const std::string& path) { return space(path); });
    return *gc_;
  }
  Status collect(ImageGc::TimePoint at) {
    std::optional<Status> done;
    loop_.spawn([](Loop& loop, ImageGc& of, ImageGc::TimePoint now, std::optional<Status>& to) -> Task<> {
      to = co_await of.collect(now);
      loop.stop();
    }(loop_, gc(), at, done));
    if (!done) loop_.run();
    return *done;
  }
  std::vector<std::string> left() const {
    std::vector<std::string> ids;
    for (const auto& [id, image] : runtime_.stored) ids.push_back(id);
    return ids;
  }

  Loop loop_;
  FakeRuntime runtime_{loop_};
  std::uint64_t others_ = 0;
  std::optional<ImageGc> gc_;
  const ImageGc::TimePoint start_{hours(1000)};
};

TEST_F(ImageGcTest, NothingIsRemovedBelowTheThreshold) {
  image("a", 40);
  image("b", 44);
  EXPECT_TRUE(collect(start_));
  EXPECT_THAT(left(), ElementsAre("a", "b"));
}

TEST_F(ImageGcTest, AboveItTheLeastRecentlyUsedGoUntilThereIsEnough) {
  image("a", 20);
  image("b", 20);
  image("c", 20);
  container("of-a", "a");
  EXPECT_TRUE(collect(start_));
  runtime_.containers.clear();
  container("of-b", "b");
  EXPECT_TRUE(collect(start_ + minutes(5)));
  runtime_.containers.clear();
  others_ = 26;  // 86 %
  EXPECT_TRUE(collect(start_ + minutes(10)));
  EXPECT_THAT(left(), ElementsAre("a", "b")) << "c was used by nobody; 66 %";
  others_ = 45;
  EXPECT_TRUE(collect(start_ + minutes(15)));
  EXPECT_THAT(left(), ElementsAre("b")) << "a was used before b";
}

TEST_F(ImageGcTest, WhatIsUsedOrPinnedStays) {
  image("used", 30);
  image("volume", 30);
  image("pinned", 30, true);
  image("free", 5);
  container("one", "used", "volume");
  auto done = collect(start_);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("/store is 90 % full"));
  EXPECT_THAT(left(), ElementsAre("pinned", "used", "volume"));
}

TEST_F(ImageGcTest, WhatHasJustComeStays) {
  EXPECT_TRUE(collect(start_));
  image("new", 90);
  EXPECT_FALSE(collect(start_ + minutes(5)));
  EXPECT_FALSE(collect(start_ + minutes(5) + std::chrono::seconds(119)));
  EXPECT_THAT(left(), ElementsAre("new"));
  EXPECT_TRUE(collect(start_ + minutes(7)));
  EXPECT_THAT(left(), IsEmpty());
}

TEST_F(ImageGcTest, WhatNobodyUsedForLongGoesWithAMaximumAge) {
  gc({.high_percent = 100, .max_age = hours(1)});
  image("old", 1);
  image("used", 1);
  image("pinned", 1, true);
  container("one", "used");
  EXPECT_TRUE(collect(start_));
  EXPECT_TRUE(collect(start_ + hours(1)));
  EXPECT_THAT(left(), ElementsAre("old", "pinned", "used"));
  EXPECT_TRUE(collect(start_ + hours(1) + minutes(1)));
  EXPECT_THAT(left(), ElementsAre("pinned", "used"));
  others_ = 97;
  EXPECT_TRUE(collect(start_ + hours(2))) << "never for the disk's sake";
}

TEST_F(ImageGcTest, WhatCanNotBeRemovedIsPassedOver) {
  image("a", 45);
  image("b", 45);
  runtime_.failures.emplace("remove-image a", Error(Code::kInternal, "no"));
  EXPECT_TRUE(collect(start_));
  EXPECT_THAT(left(), ElementsAre("a"));
}

}  // namespace
}  // namespace gantry::agent
