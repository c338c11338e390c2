// SPDX-License-Identifier: Apache-2.0
// A whole API server in the test's process, and a client of it who may do everything.
#pragma once

#include "api/client/client.h"
#include "api/client/informer.h"
#include "control/server/local_transport.h"
#include "control/server/server_fixture.h"

namespace gantry::control {

class ClientTest : public ServerTest {
 protected:
  // Lets the loop run until `done` holds; a failure when that takes too long.
  void run_until(std::function<bool()> done) {
    run(loop_, [](Loop& here, std::function<bool()> done) -> Task<bool> {
      const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
      while (!done() && std::chrono::steady_clock::now() < end) co_await here.sleep_for(std::chrono::milliseconds(1));
      EXPECT_TRUE(done()) << "what was waited for did not happen";
      co_return true;
    }(loop_, std::move(done)));
  }
  template <typename T>
  T wait(Task<T> task) {
    return run(loop_, std::move(task));
  }

  LocalTransport transport_{*server_, User{.name = "tester", .groups = {std::string(kMastersGroup)}}};
  api::Client client_{loop_, transport_, kinds_, "tester"};
  api::Informers informers_{client_};
};

}  // namespace gantry::control
