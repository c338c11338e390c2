// SPDX-License-Identifier: Apache-2.0
#include "control/admission/resource_quota.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/quota.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

// Others than this server's own requests, which take turns, are the quota controller and other servers.
constexpr int kAttempts = 32;
constexpr Duration kPause = std::chrono::milliseconds(2);

// Whether what the object takes can be more than before.
bool may_grow(const AdmissionRequest& request, const QuotaResource& resource) {
  const std::string sub = request.call.subresource == nullptr ? "" : request.call.subresource->name;
  if (request.operation == Operation::kCreate) return sub.empty();
  if (request.operation != Operation::kUpdate) return false;
  if (resource.is_core("services")) return sub.empty();
  if (resource.is_core("persistentvolumeclaims")) return sub.empty() || sub == "status";
  if (!resource.is_core("pods")) return false;
  if (sub == "resize") return true;
  // With a deadline it counts elsewhere.
  const auto has_deadline = [](const api::Message* object) {
    return static_cast<const core::Pod*>(object)->spec().has_active_deadline_seconds();
  };
  return sub.empty() && has_deadline(request.old) != has_deadline(request.object);
}

std::string names_of(const Amounts& amounts) {
  std::string out;
  for (const auto& [name, amount] : amounts) out += cat(out.empty() ? "" : ",", name);
  return out;
}

// What the request takes of one quota; empty: nothing. A failure: the quota does not allow it.
Outcome<Amounts> charge_of(const AdmissionRequest& request, const QuotaResource& resource,
                           const core::ResourceQuota& quota, std::int64_t now) {
  const auto refuse = [&request](const std::string& why) {
    return fail(forbidden(request.call.kind, request.name, why));
  };
  const std::string& name = quota.metadata().name();
  const Amounts hard = read_amounts(quota.status().hard());
  Amounts limits = hard;
  std::erase_if(limits, [&resource](const auto& limit) { return !is_limit_of(resource, limit.first); });
  if (limits.empty() || !is_in_scopes(quota, resource, *request.object)) return Amounts();
  if (resource.is_core("pods")) {
    const std::string missing = missing_amounts(static_cast<const core::Pod&>(*request.object), limits);
    if (!missing.empty()) return refuse(cat("failed quota: ", name, ": ", missing));
  }
  const Amounts used = read_amounts(quota.status().used());
  if (only(limits, used).size() != limits.size()) {
    return refuse(cat("status unknown for quota: ", name, ", resources: ", names_of(limits)));
  }
  Amounts wanted = quota_usage(resource, *request.object, now);
  if (request.old != nullptr && is_in_scopes(quota, resource, *request.old)) {
    wanted = growth(quota_usage(resource, *request.old, now), wanted);
  }
  wanted = only(without_zeros(std::move(wanted)), hard);
  const bool is_status = request.call.subresource != nullptr && request.call.subresource->name == "status";
  Amounts after = used;
  add(wanted, &after);
  Amounts exceeded;
  for (const auto& [resource_name, amount] : wanted) {
    if (after[resource_name].compare(hard.at(resource_name)) > 0) exceeded.emplace(resource_name, amount);
  }
  if (exceeded.empty() || is_status) return wanted;
  return refuse(cat("exceeded quota: ", name, ", requested: ", to_text(exceeded),
                    ", used: ", to_text(only(used, exceeded)), ", limited: ", to_text(only(hard, exceeded))));
}

}  // namespace

Task<Result<bool>> ResourceQuotaAdmission::write_used(Loop& here, const Object& quota, const Amounts& used) {
  auto updated = std::make_unique<core::ResourceQuota>(static_cast<const core::ResourceQuota&>(*quota.message));
  write_amounts(used, updated->mutable_status()->mutable_used());
  Objects objects(view_.kinds(), view_.store());
  Result<Objects::Answer> answer =
      co_await objects.update(here, view_.kind_of<core::ResourceQuota>(), quota.revision(), std::move(updated));
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return answer->done;
}

Task<Outcome<void>> ResourceQuotaAdmission::charge(const AdmissionRequest& request, const QuotaResource& resource,
                                                   std::vector<std::string> quotas, Charges* charged) {
  Call& call = request.call;
  Objects objects(view_.kinds(), view_.store());
  const api::Kind& kind = view_.kind_of<core::ResourceQuota>();
  const std::int64_t now = now_().seconds;
  for (int attempt = 0; attempt < kAttempts && !quotas.empty(); ++attempt) {
    if (attempt > 0) co_await call.here.sleep_for(kPause * attempt);
    // All are asked before any is charged: most refusals leave nothing to give back.
    std::vector<std::pair<Object, Amounts>> charges;
    for (const std::string& name : quotas) {
      Result<std::optional<Object>> quota = co_await objects.find(call.here, kind, call.info.ns, name);
      if (!quota) co_return fail(from_error(quota.error()));
      if (!*quota) continue;
      Outcome<Amounts> wanted =
          charge_of(request, resource, static_cast<const core::ResourceQuota&>(*(*quota)->message), now);
      if (!wanted) co_return fail(std::move(wanted.error()));
      if (!wanted->empty()) charges.emplace_back(std::move(**quota), std::move(*wanted));
    }
    quotas.clear();
    if (call.dry_run) break;
    for (const auto& [quota, wanted] : charges) {
      const auto& object = static_cast<const core::ResourceQuota&>(*quota.message);
      Amounts used = read_amounts(object.status().used());
      add(wanted, &used);
      Result<bool> done = co_await write_used(call.here, quota, used);
      if (!done) co_return fail(from_error(done.error()));
      if (*done) {
        charged->emplace(object.metadata().name(), wanted);
      } else {
        quotas.push_back(object.metadata().name());
      }
    }
  }
  if (quotas.empty()) co_return Outcome<void>();
  co_return fail(
      conflict(kind, quotas.front(),
               "the object has been modified; please apply your changes to the latest version and try again"));
}

Task<> ResourceQuotaAdmission::give_back(Loop& here, std::string ns, Charges charged) {
  const NamespaceTurns::Turn turn = co_await turns_.take(here, ns);
  Objects objects(view_.kinds(), view_.store());
  for (const auto& [name, amounts] : charged) {
    bool done = false;
    for (int attempt = 0; attempt < kAttempts && !done; ++attempt) {
      Result<std::optional<Object>> quota = co_await objects.find(here, view_.kind_of<core::ResourceQuota>(), ns, name);
      if (!quota) break;
      if (!*quota) {
        done = true;
        break;
      }
      Amounts used = read_amounts(static_cast<const core::ResourceQuota&>(*(*quota)->message).status().used());
      for (const auto& [resource, amount] : amounts) {
        const auto found = used.find(resource);
        if (found == used.end()) continue;
        found->second.subtract(amount);
        if (found->second.is_negative()) found->second = api::Quantity();
      }
      const Result<bool> written = co_await write_used(here, **quota, used);
      if (!written) break;
      done = *written;
    }
    // The quota controller finds it, later.
    if (!done) log::warning("a quota keeps what was not used", {{"namespace", ns}, {"quota", name}});
  }
}

Task<Outcome<void>> ResourceQuotaAdmission::validate(const AdmissionRequest& request) {
  Call& call = request.call;
  const QuotaResource resource{call.kind.gvk.group, call.kind.plural};
  if (!call.kind.namespaced || call.kind.storage.empty() || !resource.is_counted()) co_return Outcome<void>();
  if (!may_grow(request, resource)) co_return Outcome<void>();
  std::vector<std::string> quotas;
  for (const auto& quota : view_.list<core::ResourceQuota>(call.info.ns)) quotas.push_back(quota->metadata().name());
  if (quotas.empty()) co_return Outcome<void>();

  Charges charged;
  Outcome<void> done;
  {
    const NamespaceTurns::Turn turn = co_await turns_.take(call.here, call.info.ns);
    done = co_await charge(request, resource, std::move(quotas), &charged);
  }
  if (charged.empty()) co_return done;
  if (!done) {
    co_await give_back(call.here, call.info.ns, std::move(charged));
    co_return done;
  }
  call.afterwards.push_back([this, &here = call.here, ns = call.info.ns, charged](bool written) -> Task<> {
    if (!written) co_await give_back(here, ns, charged);
  });
  co_return done;
}

}  // namespace gantry::control
