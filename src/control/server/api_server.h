// SPDX-License-Identifier: Apache-2.0
// ApiServer: the Kubernetes API over HTTP. It takes a request from authentication through authorization to the resource
// or the other thing that its path names, and turns what comes of it into an answer. One object serves the connections
// of all loops; it holds nothing that changes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/time.h"
#include "base/metrics.h"
#include "control/server/access.h"
#include "control/server/action.h"
#include "control/server/admission.h"
#include "control/server/auditor.h"
#include "control/server/connect/connector.h"
#include "control/server/documents.h"
#include "control/server/flow_control.h"
#include "control/server/health.h"
#include "control/server/object_source.h"
#include "control/server/resource_reader.h"
#include "control/server/resource_writer.h"

namespace gantry::control {

class ApiServer {
 public:
  // All must outlive the ApiServer. The first authenticator that knows the request's credentials decides; without any
  // the user is anonymous. Each authorizer is asked until one allows or denies; nobody's opinion is a refusal.
  struct Parts {
    const api::Kinds& kinds;
    Store& store;
    const Caches& caches;
    const AdmissionChain& admission;
    std::vector<Authenticator*> authenticators;
    std::vector<Authorizer*> authorizers;
    Actions actions;
    std::shared_ptr<Connector> connector;  // null: logs, exec and proxies are not served
    std::function<api::Timestamp()> now;   // the wall clock
    ServerVersion version;
    std::vector<Page> pages = {};
    ObjectSources sources = {};
    FlowControl* flow = nullptr;           // null: nobody waits for his turn
    Auditor* auditor = nullptr;            // null: nothing is recorded
    Health* health = nullptr;              // null: health is not served
    metrics::Registry* metrics = nullptr;  // null: nothing is counted, and /metrics is not served
  };
  explicit ApiServer(Parts parts);
  ~ApiServer();

  // Never fails: what goes wrong is an answer.
  Task<http::Reply> handle(Loop& here, http::Request request);
  // The same for a user whom this process vouches for, whatever credentials the request bears: its own controllers.
  Task<http::Reply> handle_as(Loop& here, User user, http::Request request);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gantry::control
