// SPDX-License-Identifier: Apache-2.0
#include "control/admission/limit_ranger.h"

#include <cstdio>
#include <limits>
#include <set>

#include "api/kinds/core/pod_update.h"
#include "api/metadata.h"
#include "base/text.h"
#include "control/quota/pod_amounts.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/quota.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kAnnotation[] = "kubernetes.io/limit-ranger";
// Above this whole units are compared, below it thousandths.
constexpr std::int64_t kMostInMilli = std::numeric_limits<std::int64_t>::max() / 1000;

bool is_limited(const AdmissionRequest& request) {
  if (request.operation != Operation::kCreate && request.operation != Operation::kUpdate) return false;
  // What is on its way out may still lose its finalizers.
  if (request.old != nullptr && api::metadata_of(*request.old).has_deletion_timestamp()) return false;
  const bool is_main = request.call.subresource == nullptr;
  const google::protobuf::Descriptor* type = request.object->GetDescriptor();
  if (type == core::Pod::descriptor()) {
    if (request.operation == Operation::kCreate) return is_main;
    return !is_main && request.call.subresource->name == "resize";
  }
  return type == core::PersistentVolumeClaim::descriptor() && is_main;
}

// Adds what is missing; its names are returned.
std::set<std::string> fill(const api::Amounts& defaults, api::Amounts* amounts) {
  std::set<std::string> added;
  for (const auto& [name, amount] : defaults) {
    if (amounts->insert({name, amount}).second) added.insert(name);
  }
  return added;
}

void set_defaults(const api::Amounts& requests, const api::Amounts& limits, core::Pod* pod) {
  std::string said;
  const auto say = [&said](const std::set<std::string>& names, std::string_view what,
                           const core::Container& container) {
    if (names.empty()) return;
    std::string list;
    for (const std::string& name : names) list += cat(list.empty() ? "" : ", ", name);
    said += cat(said.empty() ? "" : "; ", list, what, container.name());
  };
  const auto add = [&](core::Container* container, std::string_view kind) {
    core::ResourceRequirements* resources = container->mutable_resources();
    const std::set<std::string> limited = fill(limits, resources->mutable_limits());
    say(fill(requests, resources->mutable_requests()), cat(" request for ", kind, " "), *container);
    say(limited, cat(" limit for ", kind, " "), *container);
  };
  for (core::Container& container : *pod->mutable_spec()->mutable_containers()) add(&container, "container");
  for (core::Container& container : *pod->mutable_spec()->mutable_init_containers()) add(&container, "init container");
  if (said.empty()) return;
  (*pod->mutable_metadata()->mutable_annotations())[kAnnotation] = cat("LimitRanger plugin set: ", said);
}

// One item of a LimitRange and one object, container or claim that it is about.
class Rules {
 public:
  Rules(const core::LimitRangeItem& item, std::vector<std::string>* broken) : item_(item), broken_(broken) {}

  void check(const Amounts& requests, const Amounts& limits) {
    for (const auto& [name, least] : read_amounts(item_.min())) check_least(name, least, requests, limits);
    for (const auto& [name, most] : read_amounts(item_.max())) check_most(name, most, requests, limits);
    for (const auto& [name, ratio] : read_amounts(item_.max_limit_request_ratio())) {
      check_ratio(name, ratio, requests, limits);
    }
  }
  // Of what has no limits.
  void check_claim(const Amounts& requests) {
    for (const auto& [name, least] : read_amounts(item_.min())) check_least(name, least, requests, {});
    for (const auto& [name, most] : read_amounts(item_.max())) {
      const std::string rule = cat("maximum ", name, " usage per ", item_.type(), " is ", most.to_string());
      const auto request = requests.find(name);
      if (request == requests.end()) {
        broken_->push_back(cat(rule, ".  No request is specified"));
      } else if (request->second.compare(most) > 0) {
        broken_->push_back(cat(rule, ", but request is ", request->second.to_string()));
      }
    }
  }

 private:
  void check_least(const std::string& name, const api::Quantity& least, const Amounts& requests,
                   const Amounts& limits) {
    const std::string rule = cat("minimum ", name, " usage per ", item_.type(), " is ", least.to_string());
    const auto request = requests.find(name);
    const auto limit = limits.find(name);
    if (request == requests.end()) {
      broken_->push_back(cat(rule, ".  No request is specified"));
    } else if (request->second.compare(least) < 0) {
      broken_->push_back(cat(rule, ", but request is ", request->second.to_string()));
    } else if (limit != limits.end() && limit->second.compare(least) < 0) {
      broken_->push_back(cat(rule, ", but limit is ", limit->second.to_string()));
    }
  }

  void check_most(const std::string& name, const api::Quantity& most, const Amounts& requests, const Amounts& limits) {
    const std::string rule = cat("maximum ", name, " usage per ", item_.type(), " is ", most.to_string());
    const auto request = requests.find(name);
    const auto limit = limits.find(name);
    if (limit == limits.end()) {
      broken_->push_back(cat(rule, ".  No limit is specified"));
    } else if (limit->second.compare(most) > 0) {
      broken_->push_back(cat(rule, ", but limit is ", limit->second.to_string()));
    } else if (request != requests.end() && request->second.compare(most) > 0) {
      broken_->push_back(cat(rule, ", but request is ", request->second.to_string()));
    }
  }

  void check_ratio(const std::string& name, const api::Quantity& most, const Amounts& requests, const Amounts& limits) {
    const std::string rule = cat(name, " max limit to request ratio per ", item_.type(), " is ", most.to_string());
    const auto request = requests.find(name);
    const auto limit = limits.find(name);
    if (request == requests.end() || request->second.is_zero()) {
      broken_->push_back(cat(rule, ", but no request is specified or request is 0"));
      return;
    }
    if (limit == limits.end() || limit->second.is_zero()) {
      broken_->push_back(cat(rule, ", but no limit is specified or limit is 0"));
      return;
    }
    const bool in_milli = request->second.value() <= kMostInMilli && limit->second.value() <= kMostInMilli;
    const auto number = [in_milli](const api::Quantity& amount) {
      return static_cast<double>(in_milli ? amount.milli_value() : amount.value());
    };
    const double ratio = number(limit->second) / number(request->second);
    if (ratio * 1000 <= static_cast<double>(most.milli_value())) return;
    char text[64];
    (void)std::snprintf(text, sizeof(text), "%f", ratio);
    broken_->push_back(cat(rule, ", but provided ratio is ", text));
  }

  const core::LimitRangeItem& item_;
  std::vector<std::string>* broken_;
};

void check_pod(const core::LimitRangeItem& item, const core::Pod& pod, std::vector<std::string>* broken) {
  Rules rules(item, broken);
  const auto check = [&rules](const core::Container& container) {
    rules.check(read_amounts(container.resources().requests()), read_amounts(container.resources().limits()));
  };
  if (item.type() == "Container") {
    for (const core::Container& container : pod.spec().containers()) check(container);
    for (const core::Container& container : pod.spec().init_containers()) check(container);
  } else if (item.type() == "Pod") {
    rules.check(pod_requests(pod, {}), pod_limits(pod, {}));
  }
}

// "[one, the other]", each once.
std::string all_of(const std::vector<std::string>& broken) {
  if (broken.size() == 1) return broken.front();
  std::set<std::string_view> seen;
  std::string out;
  for (const std::string& text : broken) {
    if (seen.insert(text).second) out += cat(out.empty() ? "" : ", ", text);
  }
  return cat("[", out, "]");
}

}  // namespace

Task<Outcome<void>> LimitRanger::mutate(AdmissionRequest& request) {
  if (!is_limited(request) || request.object->GetDescriptor() != core::Pod::descriptor()) co_return Outcome<void>();
  auto* pod = static_cast<core::Pod*>(request.object);
  bool changed = false;
  for (const auto& range : view_.list<core::LimitRange>(request.call.info.ns)) {
    for (const core::LimitRangeItem& item : range->spec().limits()) {
      if (item.type() != "Container") continue;
      set_defaults(item.default_request(), item.default_(), pod);
      changed = true;
    }
  }
  if (changed && request.operation == Operation::kCreate) {
    pod->mutable_status()->set_qos_class(api::quality_of_service(pod->spec()));
  }
  co_return Outcome<void>();
}

Task<Outcome<void>> LimitRanger::validate(const AdmissionRequest& request) {
  if (!is_limited(request)) co_return Outcome<void>();
  for (const auto& range : view_.list<core::LimitRange>(request.call.info.ns)) {
    std::vector<std::string> broken;
    for (const core::LimitRangeItem& item : range->spec().limits()) {
      if (request.object->GetDescriptor() == core::Pod::descriptor()) {
        check_pod(item, static_cast<const core::Pod&>(*request.object), &broken);
      } else if (item.type() == "PersistentVolumeClaim") {
        const auto& claim = static_cast<const core::PersistentVolumeClaim&>(*request.object);
        Rules(item, &broken).check_claim(read_amounts(claim.spec().resources().requests()));
      }
    }
    if (!broken.empty()) co_return fail(forbidden(request.call.kind, request.name, all_of(broken)));
  }
  co_return Outcome<void>();
}

}  // namespace gantry::control
