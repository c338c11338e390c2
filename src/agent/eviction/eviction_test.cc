// SPDX-License-Identifier: Apache-2.0
#include "agent/eviction/eviction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/names.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::uint64_t kMi = 1 << 20, kGi = 1 << 30;

EvictionConfig defaults() {
  EvictionConfig config;
  config.hard = NodeConfig().eviction_hard;
  return config;
}

NodeReadings quiet() {
  NodeReadings readings;
  readings.memory = 8 * kGi;
  readings.memory_available = 4 * kGi;
  readings.pids = 100;
  readings.max_pids = 32768;
  readings.node = readings.images = {100 * kGi, 50 * kGi, 1000, 500};
  return readings;
}

std::shared_ptr<core::Pod> pod_of(const std::string& name, const std::string& memory = "") {
  auto pod = std::make_shared<core::Pod>();
  pod->mutable_metadata()->set_name(name);
  pod->mutable_metadata()->set_uid(name);
  auto& container = *pod->mutable_spec()->add_containers();
  container.set_name("app");
  if (!memory.empty()) (*container.mutable_resources()->mutable_requests())["memory"].set_string(memory);
  return pod;
}

PodUse use_of(std::uint64_t memory, std::uint64_t disk = 0) {
  PodUse use;
  use.containers["app"] = {.memory = memory, .disk = disk};
  return use;
}

TEST(ThresholdsTest, APressureIsSaidForAWhileAfterItIsGone) {
  Thresholds thresholds(defaults());
  NodeReadings readings = quiet();
  thresholds.look(levels_of(readings), minutes(0));
  EXPECT_EQ(thresholds.pressures(), NodePressures());
  readings.memory_available = 99 * kMi;
  readings.images.available = 14 * kGi;
  readings.pids = 32767;
  thresholds.look(levels_of(readings), minutes(1));
  EXPECT_EQ(thresholds.pressures(), (NodePressures{.memory = true, .disk = true}));  // none of pids by default
  ASSERT_EQ(thresholds.shortages().size(), 2U);
  EXPECT_EQ(thresholds.shortages()[0].signal, "memory.available");
  EXPECT_EQ(thresholds.shortages()[0].threshold, 100 * kMi);
  thresholds.look(levels_of(quiet()), minutes(5));
  EXPECT_TRUE(thresholds.pressures().memory);
  EXPECT_TRUE(thresholds.shortages().empty());
  thresholds.look(levels_of(quiet()), minutes(6));
  EXPECT_EQ(thresholds.pressures(), NodePressures());
}

TEST(ThresholdsTest, ASoftOneCountsAfterItsGraceAndIsMetUntilItsReclaimIsLeft) {
  EvictionConfig config;
  config.soft["memory.available"] = {"1Gi", 0};
  config.soft_grace["memory.available"] = seconds(30);
  config.minimum_reclaim["memory.available"] = {"500Mi", 0};
  Thresholds thresholds(config);
  NodeReadings readings = quiet();
  readings.memory_available = kGi - 1;
  thresholds.look(levels_of(readings), seconds(0));
  EXPECT_TRUE(thresholds.pressures().memory);
  EXPECT_TRUE(thresholds.shortages().empty());
  thresholds.look(levels_of(readings), seconds(30));
  ASSERT_EQ(thresholds.shortages().size(), 1U);
  EXPECT_FALSE(thresholds.shortages()[0].is_hard);
  readings.memory_available = kGi + 499 * kMi;
  EXPECT_TRUE(thresholds.is_short_of("memory.available", levels_of(readings)));
  thresholds.look(levels_of(readings), seconds(40));
  EXPECT_EQ(thresholds.shortages().size(), 1U);
  readings.memory_available = kGi + 500 * kMi;
  thresholds.look(levels_of(readings), seconds(50));
  EXPECT_TRUE(thresholds.shortages().empty());
  readings.memory_available = kGi - 1;  // anew
  thresholds.look(levels_of(readings), seconds(60));
  EXPECT_TRUE(thresholds.shortages().empty());
}

TEST(PodUseTest, WhoUsesMoreThanHeAskedForGoesFirstThenByPriorityThenByHowMuch) {
  auto modest = pod_of("modest", "1Gi"), greedy = pod_of("greedy"), greedier = pod_of("greedier"),
       dear = pod_of("dear", "1Mi"), unknown = pod_of("unknown", "1Gi");
  dear->mutable_spec()->set_priority(1000);
  const PodUse little = use_of(900 * kMi), some = use_of(100 * kMi), more = use_of(200 * kMi), most = use_of(2 * kGi);
  std::vector<PodWithUse> pods = {{modest.get(), &little},
                                  {dear.get(), &most},
                                  {greedy.get(), &some},
                                  {greedier.get(), &more},
                                  {unknown.get(), nullptr}};
  rank(&pods, "memory");
  std::vector<std::string> names;
  for (const auto& one : pods) names.push_back(one.pod->metadata().name());
  EXPECT_THAT(names, ElementsAre("unknown", "greedier", "greedy", "dear", "modest"));
  EXPECT_EQ(eviction_message({greedy.get(), &some}, {"memory.available", true, 100 * kMi, 50 * kMi}),
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container app was using "
            "100Mi, request is 0, has larger consumption of memory. ");
}

TEST(PodUseTest, LimitsOnDiskAreThoseOfVolumesContainersAndAllOfThem) {
  auto pod = pod_of("a");
  EXPECT_FALSE(has_disk_limits(*pod));
  auto& volume = *pod->mutable_spec()->add_volumes();
  volume.set_name("scratch");
  volume.mutable_volume_source()->mutable_empty_dir()->mutable_size_limit()->set_string("1Mi");
  EXPECT_TRUE(has_disk_limits(*pod));
  PodUse use = use_of(0, 3 * kMi);
  use.volumes["scratch"] = kMi;
  EXPECT_EQ(beyond_own_limits(*pod, use), std::nullopt);
  use.volumes["scratch"] = kMi + 1;
  EXPECT_EQ(beyond_own_limits(*pod, use), "Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\". ");
  use.volumes["scratch"] = kMi;
  auto& limits = *pod->mutable_spec()->mutable_containers(0)->mutable_resources()->mutable_limits();
  limits["ephemeral-storage"].set_string("3Mi");
  EXPECT_EQ(beyond_own_limits(*pod, use),
            "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. ");
  auto& other = *pod->mutable_spec()->add_containers();
  other.set_name("other");
  (*other.mutable_resources()->mutable_limits())["ephemeral-storage"].set_string("9Mi");
  EXPECT_EQ(beyond_own_limits(*pod, use), std::nullopt);
  use.containers["app"].disk = 3 * kMi + 1;
  EXPECT_EQ(beyond_own_limits(*pod, use), "Container app exceeded its local ephemeral storage limit \"3Mi\". ");
  use.files = 8 * kMi;  // CVE-2020-8557
  EXPECT_EQ(beyond_own_limits(*pod, use),
            "Pod ephemeral local storage usage exceeds the total limit of containers 12Mi. ");
}

TEST(PodUseTest, UnderPressureOnlySomePodsAreTaken) {
  auto pod = pod_of("a");
  const NodePressures memory{.memory = true}, disk{.memory = true, .disk = true};
  EXPECT_EQ(refusal(*pod, {}), std::nullopt);
  EXPECT_EQ(refusal(*pod, memory), "The node had condition: [MemoryPressure]. ");
  EXPECT_EQ(refusal(*pod, disk), "The node had condition: [MemoryPressure DiskPressure]. ");
  EXPECT_EQ(refusal(*pod_of("b", "1Mi"), memory), std::nullopt);
  EXPECT_NE(refusal(*pod_of("b", "1Mi"), disk), std::nullopt);
  auto& toleration = *pod->mutable_spec()->add_tolerations();
  toleration.set_key("node.kubernetes.io/memory-pressure");
  toleration.set_operator_("Exists");
  EXPECT_EQ(refusal(*pod, memory), std::nullopt);
  pod->mutable_spec()->set_priority(2'000'000'000);
  EXPECT_EQ(refusal(*pod, disk), std::nullopt);
}

class Meter final : public EvictionMeter {
 public:
  explicit Meter(Loop& loop) : loop_(loop) {}
  NodeReadings readings = quiet();
  std::map<std::string, PodUse> uses;
  Task<Result<NodeReadings>> node() override {
    co_await loop_.sleep_for(Duration::zero());
    co_return readings;
  }
  Task<std::map<std::string, PodUse>> pods(std::vector<PodToMeasure>, bool) override {
    co_await loop_.sleep_for(Duration::zero());
    co_return uses;
  }

 private:
  Loop& loop_;
};

class EvictionsTest : public testing::Test {
 protected:
  bool look() {
    bool any = false;
    loop_.spawn([](EvictionsTest& test, bool& done) -> Task<> {
      done = co_await test.evictions_.look();
      test.loop_.stop();
    }(*this, any));
    loop_.run();
    return any;
  }
  Evictions::Hands hands() {
    Evictions::Hands hands;
    hands.pods = [this] { return pods_; };
    hands.evict = [this](const std::string& uid, const PodEviction& eviction) {
      evicted_.push_back(uid);
      last_ = eviction;
      std::erase_if(pods_, [&](const auto& one) { return one.uid == uid; });
    };
    hands.has_ended = [](const std::string&) { return true; };
    hands.has_given_back = [this](const std::string&) { return has_given_back_; };
    hands.reclaim_disk = [this](bool with_images) -> Task<> {
      ++reclaims_;
      with_images_ = with_images;
      meter_->readings.images.available += freed_;
      co_return;
    };
    hands.pressures_changed = [this] { ++changes_; };
    return hands;
  }

  Loop loop_;
  std::shared_ptr<Meter> meter_ = std::make_shared<Meter>(loop_);
  std::vector<PodToMeasure> pods_;
  std::vector<std::string> evicted_;
  PodEviction last_;
  std::uint64_t freed_ = 0;
  bool has_given_back_ = true, with_images_ = false;
  int reclaims_ = 0, changes_ = 0;
  Evictions evictions_{loop_, meter_, defaults(), hands()};
};

TEST_F(EvictionsTest, OnePodAtATimeAndNoneThatIsCritical) {
  auto manifest = pod_of("manifest");
  auto said = pod_of("c");  // which anybody may say
  (*said->mutable_metadata()->mutable_annotations())[kConfigSourceAnnotation] = "file";
  pods_ = {{"a", pod_of("a")}, {"b", pod_of("b")}, {"manifest", manifest, true}, {"c", said}};
  meter_->uses = {{"a", use_of(kMi)}, {"b", use_of(2 * kMi)}, {"manifest", use_of(3 * kMi)}, {"c", use_of(4 * kMi)}};
  EXPECT_FALSE(look());
  meter_->readings.memory_available = kMi;
  EXPECT_TRUE(look());
  EXPECT_EQ(changes_, 1);
  EXPECT_TRUE(evictions_.pressures().memory);
  EXPECT_THAT(evicted_, ElementsAre("c"));
  EXPECT_TRUE(last_.is_disruption);
  EXPECT_EQ(last_.grace, seconds(1));
  EXPECT_THAT(last_.message, StartsWith("The node was low on resource: memory. "));
  EXPECT_TRUE(look());
  EXPECT_TRUE(look());
  EXPECT_FALSE(look());
  EXPECT_THAT(evicted_, ElementsAre("c", "b", "a"));
  EXPECT_EQ(reclaims_, 0);
}

TEST_F(EvictionsTest, WithoutFiguresNobodyIsTaken) {
  pods_ = {{"a", pod_of("a")}};
  meter_->readings.memory_available = kMi;
  EXPECT_FALSE(look());
  EXPECT_TRUE(evicted_.empty());
}

TEST_F(EvictionsTest, ForItsDiskPodsGoWhenNothingElseHelps) {
  pods_ = {{"a", pod_of("a")}, {"b", pod_of("b")}, {"c", pod_of("c")}};
  meter_->uses = {{"a", use_of(0, kMi)}, {"b", use_of(0, 3 * kMi)}, {"c", use_of(9 * kMi, 2 * kMi)}};
  meter_->readings.images.available = kGi;
  freed_ = 20 * kGi;
  EXPECT_FALSE(look());
  EXPECT_EQ(reclaims_, 1);
  EXPECT_TRUE(evicted_.empty());
  EXPECT_TRUE(evictions_.pressures().disk);
  meter_->readings.images.available = kGi;
  freed_ = 0;
  EXPECT_TRUE(look());
  EXPECT_THAT(evicted_, ElementsAre("b"));
  EXPECT_THAT(last_.message, StartsWith("The node was low on resource: ephemeral-storage. Threshold quantity: 15Gi, "));
  EXPECT_TRUE(last_.is_disruption);
  // One after the other, and only when it is seen what the last one was worth.
  has_given_back_ = false;
  EXPECT_FALSE(look());
  EXPECT_THAT(evicted_, ElementsAre("b"));
  // What else it is short of does not wait for that.
  meter_->readings.memory_available = kMi;
  EXPECT_TRUE(look());
  EXPECT_THAT(evicted_, ElementsAre("b", "c"));
  meter_->readings.memory_available = quiet().memory_available;
  has_given_back_ = true;
  EXPECT_TRUE(look());
  EXPECT_THAT(evicted_, ElementsAre("b", "c", "a"));
  EXPECT_FALSE(look());
}

TEST_F(EvictionsTest, OfTheDiskThatIsFullWhenImagesHaveTheirOwn) {
  auto pod = [](std::uint64_t layer, std::uint64_t log) {
    PodUse use = use_of(0, layer + log);
    use.containers["app"].log = log;
    use.containers["app"].inodes = 1;
    return use;
  };
  pods_ = {{"a", pod_of("a")}, {"b", pod_of("b")}, {"c", pod_of("c")}};
  meter_->uses = {{"a", pod(kMi, kMi)}, {"b", pod(0, 2 * kMi)}, {"c", pod(0, kMi / 2)}};
  meter_->uses["c"].volumes["scratch"] = 2 * kMi;
  meter_->readings.images_apart = true;
  meter_->readings.node.available = kGi;
  EXPECT_TRUE(look());
  EXPECT_FALSE(with_images_);
  EXPECT_THAT(evicted_, ElementsAre("c"));
  meter_->readings.node = quiet().node;
  meter_->readings.images.available = kGi;
  EXPECT_TRUE(look());
  EXPECT_TRUE(with_images_);
  EXPECT_THAT(evicted_, ElementsAre("c", "a"));
}

TEST_F(EvictionsTest, APodBeyondItsOwnLimitsGoesWhateverTheNodeHas) {
  auto pod = pod_of("a");
  (*pod->mutable_spec()->mutable_containers(0)->mutable_resources()->mutable_limits())["ephemeral-storage"].set_string(
      "1Mi");
  pods_ = {{"a", pod}, {"b", pod_of("b")}};
  meter_->uses = {{"a", use_of(0, kMi)}, {"b", use_of(0, kGi)}};
  EXPECT_FALSE(look());
  meter_->uses["a"] = use_of(0, 2 * kMi);
  EXPECT_TRUE(look());
  EXPECT_THAT(evicted_, ElementsAre("a"));
  EXPECT_FALSE(last_.is_disruption);
  EXPECT_THAT(last_.message, HasSubstr("exceeds the total limit"));
}

}  // namespace
}  // namespace gantry::agent
