// SPDX-License-Identifier: Apache-2.0
#include "control/store/etcd/inside.h"

#include <grpcpp/grpcpp.h>

namespace gantry::control {

Error error_of(const grpc::Status& status, const std::string& endpoint) {
  std::string message = "etcd " + endpoint + ": " + status.error_message();
  switch (status.error_code()) {
    case grpc::StatusCode::OUT_OF_RANGE:
      // Both are this code, and only the text tells them apart.
      if (status.error_message().find("future revision") != std::string::npos) {
        return Error(Code::kFailedPrecondition, std::move(message));
      }
      return Error(Code::kOutOfRange, std::move(message));
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::UNKNOWN:  // etcd's own for "request timed out" in some versions
    case grpc::StatusCode::ABORTED:
      return Error(Code::kUnavailable, std::move(message));
    case grpc::StatusCode::FAILED_PRECONDITION:  // is_ahead() here, and etcd's for settings that are wrong
    case grpc::StatusCode::OK:
      return Error(Code::kInternal, std::move(message));
    default:
      return Error(static_cast<Code>(status.error_code()), std::move(message));  // the numbers are gRPC's
  }
}

void require_leader(grpc::ClientContext& context) { context.AddMetadata("hasleader", "true"); }

std::size_t EtcdClient::Inside::choose() {
  std::size_t first = current_;
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    std::size_t at = (first + i) % endpoints.size();
    if (endpoints[at].channel->GetState(true) != GRPC_CHANNEL_TRANSIENT_FAILURE) return at;
  }
  return first;
}

void EtcdClient::Inside::has_failed(std::size_t endpoint) {
  current_.compare_exchange_strong(endpoint, (endpoint + 1) % endpoints.size());
}

bool EtcdClient::Inside::begin(const void* call, std::function<void()> cancel) {
  std::lock_guard lock(mutex_);
  if (closing_) return false;
  running_.emplace(call, std::move(cancel));
  return true;
}

void EtcdClient::Inside::end(const void* call) {
  std::lock_guard lock(mutex_);
  running_.erase(call);
  if (running_.empty()) idle_.notify_all();
}

void EtcdClient::Inside::cancel_all() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  std::vector<std::function<void()>> cancels;
  for (const auto& [call, cancel] : running_) cancels.push_back(cancel);
  lock.unlock();
  for (const auto& cancel : cancels) cancel();
  lock.lock();
  idle_.wait(lock, [this] { return running_.empty(); });
}

}  // namespace gantry::control
