// SPDX-License-Identifier: Apache-2.0
#include "base/together.h"

#include <cstddef>
#include <memory>
#include <utility>

namespace gantry {

namespace {

struct Outcomes {
  Outcomes(Loop& here, std::size_t count) : all(count), left(count), over(here) {}

  std::vector<Status> all;
  std::size_t left;
  Event over;
};

Task<> follow(Task<Status> task, std::size_t number, std::shared_ptr<Outcomes> outcomes) {
  outcomes->all[number] = co_await task;
  if (--outcomes->left == 0) outcomes->over.set();
}

}  // namespace

Task<Status> together(Loop& here, std::vector<Task<Status>> tasks) {
  if (tasks.empty()) co_return Status();
  auto outcomes = std::make_shared<Outcomes>(here, tasks.size());
  std::size_t number = 0;
  for (Task<Status>& task : tasks) here.spawn(follow(std::move(task), number++, outcomes));
  co_await outcomes->over.wait();
  for (Status& each : outcomes->all) {
    if (!each) co_return std::move(each);
  }
  co_return Status();
}

}  // namespace gantry
