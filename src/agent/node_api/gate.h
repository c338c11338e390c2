// SPDX-License-Identifier: Apache-2.0
// The gate of the node API: who asks, and whether he may. A client's certificate, which TLS has verified, names its
// user and groups; else a bearer token is asked about (TokenReview). Who shows neither is let in only where the rules
// take anonymous clients, as system:anonymous. What he may is asked as SubjectAccessReview of nodes/SUBRESOURCE: stats,
// metrics, log, and proxy for all else; healthz, configz and pods are open to whoever may use these or nodes/proxy.
//
// Answers are kept for short times; of tokens only a hash is kept. Memory and the questions under way are bounded: a
// flood of invented tokens is answered 429 and does not reach the API server all at once, while those who come by
// certificate or by a token that is known are answered. Loop thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/server_config.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "http/message.h"

namespace gantry::agent {

struct ApiUser {
  std::string name, uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;

  friend auto operator<=>(const ApiUser&, const ApiUser&) = default;
};

// Of nodes/SUBRESOURCE; "" is the node itself.
struct NodeAction {
  std::string verb;  // "get", "create", ...
  std::string subresource;

  friend auto operator<=>(const NodeAction&, const NodeAction&) = default;
};

// Both are asked by the gate and by nobody else. An error is no answer: nothing of it is kept.
class TokenReviewer {
 public:
  virtual ~TokenReviewer() = default;
  // Nothing: it is not a token that counts.
  virtual Task<Result<std::optional<ApiUser>>> review(std::string token) = 0;
};
class AccessReviewer {
 public:
  virtual ~AccessReviewer() = default;
  virtual Task<Result<bool>> may(ApiUser user, NodeAction action) = 0;
};

// Answers by their question, each for a time of its own. Beyond `limit` the oldest goes.
template <typename Key, typename Value>
class AnswerCache {
 public:
  using Time = std::chrono::steady_clock::time_point;
  explicit AnswerCache(std::size_t limit) : limit_(limit) {}

  const Value* find(const Key& key, Time now) {
    auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    if (found->second->until > now) return &found->second->value;
    oldest_first_.erase(found->second);
    by_key_.erase(found);
    return nullptr;
  }
  void put(Key key, Value value, Time until) {
    if (auto found = by_key_.find(key); found != by_key_.end()) {
      oldest_first_.erase(found->second);
      by_key_.erase(found);
    }
    if (by_key_.size() >= limit_) {
      by_key_.erase(oldest_first_.front().key);
      oldest_first_.pop_front();
    }
    oldest_first_.push_back({key, std::move(value), until});
    by_key_[std::move(key)] = std::prev(oldest_first_.end());
  }
  std::size_t size() const { return by_key_.size(); }

 private:
  struct Entry {
    Key key;
    Value value;
    Time until;
  };
  std::size_t limit_;
  std::list<Entry> oldest_first_;
  std::map<Key, typename std::list<Entry>::iterator> by_key_;
};

class Gate {
 public:
  static constexpr std::size_t kMaxKept = 4096;    // answers, of each kind
  static constexpr std::size_t kMaxAsking = 64;    // questions under way: who, and as many about rights
  static constexpr std::size_t kMaxToken = 16384;  // bytes

  using Now = std::function<std::chrono::steady_clock::time_point()>;
  // `tokens` and `access` are asked as far as the rules say, and then not null. Both outlive it and what it has under
  // way.
  Gate(TokenReviewer* tokens, AccessReviewer* access, GateRules rules = {}, Now now = std::chrono::steady_clock::now)
      : tokens_(tokens), access_(access), rules_(rules), now_(std::move(now)) {}

  // Nothing: he may, by one of `actions`. Else what he is told: 401, 403, 429, or 500 when nobody could be asked.
  Task<std::optional<http::Response>> refuse(const http::Request& request, std::vector<NodeAction> actions);

 private:
  // Null: nobody we know.
  using Named = std::expected<std::shared_ptr<const ApiUser>, http::Response>;
  Task<Named> name(const http::Request& request);
  Task<Named> name_by_token(std::string token);
  Task<std::expected<bool, http::Response>> may(std::shared_ptr<const ApiUser> user, NodeAction action);

  TokenReviewer* tokens_;
  AccessReviewer* access_;
  GateRules rules_;
  Now now_;
  // Apart: whoever invents tokens takes no room from those who have a name.
  std::size_t asking_who_ = 0, asking_rights_ = 0;
  AnswerCache<std::string, std::shared_ptr<const ApiUser>> known_tokens_{kMaxKept};
  AnswerCache<std::string, bool> no_tokens_{kMaxKept};
  AnswerCache<std::pair<ApiUser, NodeAction>, bool> known_rights_{kMaxKept};
};

// What has to be allowed for a request: any one of them. `path` is decoded. `changes`: it is a stream into a container,
// which needs the right to create, whatever its method (a WebSocket is always a GET).
std::vector<NodeAction> actions_of(std::string_view method, std::string_view path, bool changes);

}  // namespace gantry::agent
