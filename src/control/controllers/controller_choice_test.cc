// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/controller_choice.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "control/controllers/manager.h"

namespace gantry::control {
namespace {

TEST(ControllerChoiceTest, AStarIsAllAndTheFirstWordOfOneCounts) {
  EXPECT_TRUE(ControllerChoice().has("job-controller"));
  EXPECT_FALSE(ControllerChoice({"*", "-job-controller"}).has("job-controller"));
  EXPECT_TRUE(ControllerChoice({"*", "-job-controller"}).has("cronjob-controller"));
  EXPECT_TRUE(ControllerChoice({"job-controller"}).has("job-controller"));
  EXPECT_FALSE(ControllerChoice({"job-controller"}).has("cronjob-controller"));
  EXPECT_FALSE(ControllerChoice({"-job-controller", "job-controller"}).has("job-controller"));
  EXPECT_FALSE(ControllerChoice({"-*"}).has("job-controller"));
  EXPECT_TRUE(ControllerChoice({"-*", "job-controller"}).has("job-controller"));
}

TEST(ControllerChoiceTest, OthersAreNotKnown) {
  const std::vector<std::string> names = {"job-controller"};
  EXPECT_TRUE(ControllerChoice({"*", "-job-controller"}).is_of(names));
  EXPECT_TRUE(ControllerChoice({"-*"}).is_of(names));
  EXPECT_FALSE(ControllerChoice({"job"}).is_of(names));
  EXPECT_FALSE(ControllerChoice({"*-"}).is_of(names));
}

TEST(ControllerChoiceTest, EachOfTheManagersHasANameOfItsOwn) {
  std::vector<std::string> names = own_controller_names();
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
  EXPECT_TRUE(std::ranges::all_of(names, [](const std::string& name) { return name.ends_with("-controller"); }));
}

}  // namespace
}  // namespace gantry::control
