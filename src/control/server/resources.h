// SPDX-License-Identifier: Apache-2.0
// Resources: the verbs of HTTP on resources, between a request that was authorized and ResourceReader, ResourceWriter
// and watches: which kind, which options, which form of answer. Any loop's thread.
#pragma once

#include <functional>

#include "api/time.h"
#include "control/server/access.h"
#include "control/server/action.h"
#include "control/server/admission.h"
#include "control/server/connect/connector.h"
#include "control/server/object_source.h"
#include "control/server/request_metrics.h"
#include "control/server/resource_reader.h"
#include "control/server/resource_writer.h"
#include "http/message.h"

namespace gantry::control {

class Resources {
 public:
  // `sources` have what is not stored. `connector`: null leaves what leads on to nodes and pods unserved. `metrics`:
  // null counts no events of watches.
  Resources(Objects objects, const Caches& caches, const AdmissionChain& admission, Actions actions,
            ObjectSources sources, std::shared_ptr<Connector> connector, std::function<api::Timestamp()> now,
            RequestMetrics* metrics)
      : objects_(objects),
        caches_(caches),
        reader_(objects, caches, now),
        writer_(objects, admission, now),
        actions_(std::move(actions)),
        sources_(std::move(sources)),
        connector_(std::move(connector)),
        now_(now),
        metrics_(metrics) {}

  // `info.is_resource` holds. A failure is what the client is answered.
  // `may_create`: asked before a PUT or an apply makes an object, which is another right than to write one.
  // `annotations`: as in Call. `made`: gets the name of what a create makes, or would have made.
  Task<Outcome<http::Reply>> serve(Loop& here, const http::Request& request, const RequestInfo& info, const User& user,
                                   Permission may_create, std::map<std::string, std::string>* annotations = nullptr,
                                   std::string* made = nullptr);

 private:
  Outcome<Call> make_call(Loop& here, const http::Request& request, const RequestInfo& info, const User& user) const;

  Task<Outcome<http::Reply>> get(Call& call, const http::Request& request);
  Task<Outcome<http::Reply>> list(Call& call, const http::Request& request);
  Task<Outcome<http::Reply>> follow(Call& call, const http::Request& request);
  Task<Outcome<http::Reply>> create(Call& call, const http::Request& request, std::string* made);
  Task<Outcome<http::Reply>> scale(Call& call, const http::Request& request);
  Task<Outcome<http::Reply>> read(Call& call, ObjectSource& source, const http::Request& request);
  Task<Outcome<http::Reply>> act(Call& call, Action& action, const http::Request& request);
  Task<Outcome<http::Reply>> update(Call& call, const http::Request& request);
  Task<Outcome<http::Reply>> patch(Call& call, const http::Request& request);
  Task<Outcome<http::Reply>> remove(Call& call, const http::Request& request);
  Task<Outcome<http::Reply>> remove_collection(Call& call, const http::Request& request);

  Objects objects_;
  const Caches& caches_;
  ResourceReader reader_;
  ResourceWriter writer_;
  Actions actions_;
  ObjectSources sources_;
  std::shared_ptr<Connector> connector_;
  std::function<api::Timestamp()> now_;
  RequestMetrics* metrics_;
};

}  // namespace gantry::control
