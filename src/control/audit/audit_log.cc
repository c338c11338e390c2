// SPDX-License-Identifier: Apache-2.0
#include "control/audit/audit_log.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <utility>

#include "api/codec.h"
#include "api/json.h"
#include "api/yaml.h"
#include "base/text.h"
#include "control/server/media.h"
#include "control/server/view.h"

namespace gantry::control {

namespace {

using api::Value;

Value strings(const std::vector<std::string>& texts) {
  Value::List list;
  for (const std::string& text : texts) list.emplace_back(text);
  return Value(std::move(list));
}

Value user_value(const User& user) {
  Value value = Value::object({{"username", user.name}});
  if (!user.uid.empty()) value["uid"] = user.uid;
  if (!user.groups.empty()) value["groups"] = strings(user.groups);
  if (user.extra.empty()) return value;
  Value extra(Value::Object{});
  for (const auto& [key, values] : user.extra) extra[key] = strings(values);
  value["extra"] = std::move(extra);
  return value;
}

Value reference(const RequestInfo& info) {
  Value value = Value::object({{"resource", info.resource}});
  if (!info.ns.empty()) value["namespace"] = info.ns;
  if (!info.name.empty()) value["name"] = info.name;
  if (!info.group.empty()) value["apiGroup"] = info.group;
  value["apiVersion"] = info.version;
  if (!info.subresource.empty()) value["subresource"] = info.subresource;
  return value;
}

void drop_managed_fields(Value* object) {
  if (Value* metadata = object->find("metadata"); metadata != nullptr && metadata->is_object()) {
    std::erase_if(*metadata->as_object(), [](const Value::Member& member) { return member.key == "managedFields"; });
  }
  Value* items = object->find("items");
  if (items == nullptr || !items->is_list()) return;
  for (Value& item : *items->as_list()) drop_managed_fields(&item);
}

// A body as JSON; empty when it is none, or of a kind that is not known here.
std::string as_json(std::string_view type, std::string_view body, const api::Kind* kind, bool omits_managed_fields) {
  if (body.empty()) return {};
  const std::string media = media_type(type);
  Result<Value> value = fail(Code::kInvalidArgument, "");
  if (media == "application/vnd.kubernetes.protobuf") {
    if (kind == nullptr) return {};
    const std::unique_ptr<api::Message> message = kind->make();
    if (!api::decode_protobuf(body, message.get())) return {};
    std::string text = object_json(*message);
    if (!omits_managed_fields) return text;
    value = api::parse_json(text);
  } else if (media.ends_with("yaml")) {
    Result<std::vector<Value>> documents = api::parse_yaml(body);
    if (documents && documents->size() == 1) value = std::move(documents->front());
  } else {
    value = api::parse_json(body);
  }
  if (!value) return {};
  if (omits_managed_fields) drop_managed_fields(&*value);
  return api::write_json(*value);
}

// What an answer's Status says; of a success its code alone.
Value status_value(const http::Response& response) {
  Value value = Value::object({{"metadata", Value(Value::Object{})}, {"code", int64_t{response.status}}});
  if (response.status < 400) return value;
  value["status"] = "Failure";
  Result<Value> body = api::parse_json(response.body_bytes());
  if (!body || !body->is_object()) return value;
  for (const char* field : {"message", "reason"}) {
    if (const Value* found = body->find(field); found != nullptr && found->is_string()) value[field] = *found;
  }
  return value;
}

// No longer than a name can be: one that is refused may be any text.
constexpr std::size_t kMaxName = 253;

class Audited final : public AuditedRequest {
 public:
  Audited(AuditFile& file, std::function<api::Timestamp()> now, AuditDecision decision, Value event,
          const http::Request& request)
      : file_(file),
        now_(std::move(now)),
        decision_(std::move(decision)),
        event_(std::move(event)),
        will_take_(&request) {}

  Task<> answered(Loop& here, const RequestFacts& facts, const http::Response& response, bool goes_on) override {
    event_["responseStatus"] = status_value(response);
    if (!facts.made.empty()) event_["objectRef"]["name"] = as_utf8(facts.made, kMaxName);
    const http::Request* request = std::exchange(will_take_, nullptr);
    // What strangers send is not read, and fills no disk.
    if (request != nullptr && facts.decision == "allow") take_request(*request, facts);
    // Of one's own name with other groups, too.
    if (facts.acting && facts.acting != facts.sender) event_["impersonatedUser"] = user_value(*facts.acting);
    if (!facts.decision.empty()) {
      annotate("authorization.k8s.io/decision", facts.decision);
      annotate("authorization.k8s.io/reason", facts.decision == "allow" ? facts.reason : "");
    }
    for (const auto& [key, value] : facts.annotations) annotate(key, value);
    if (!goes_on && decision_.level >= AuditLevel::kRequestResponse) take_response(facts, response);
    co_await write(here, goes_on ? AuditStage::kResponseStarted : AuditStage::kResponseComplete);
  }

  Task<> ended(Loop& here) override { return write(here, AuditStage::kResponseComplete); }

  Task<> write(Loop& here, AuditStage stage) {
    if (decision_.omits(stage)) co_return;
    event_["stage"] = to_string(stage);
    event_["stageTimestamp"] = api::format_rfc3339_micro(now_());
    if (is_truncated_) annotate("audit.k8s.io/truncated", "true");
    std::string line = api::write_json(event_);
    line.pop_back();
    if (!request_.empty()) line += cat(R"(,"requestObject":)", request_);
    if (!response_.empty()) line += cat(R"(,"responseObject":)", response_);
    line += '}';
    co_await file_.put(here, std::move(line));
  }

 private:
  void annotate(std::string_view key, std::string_view value) {
    if (event_.find("annotations") == nullptr) event_["annotations"] = Value(Value::Object{});
    event_["annotations"][key] = value;
  }
  void take_request(const http::Request& request, const RequestFacts& facts) {
    if (decision_.level < AuditLevel::kRequest) return;
    if (request.body.size() > AuditLog::kMaxObject) {
      is_truncated_ = true;
      return;
    }
    const api::Kind* kind = facts.sub == nullptr && facts.info->verb != "delete" ? facts.kind : nullptr;
    request_ = as_json(request.header("Content-Type"), request.body, kind, decision_.omits_managed_fields);
  }
  void take_response(const RequestFacts& facts, const http::Response& response) {
    if (response.body_bytes().size() > AuditLog::kMaxObject) {
      is_truncated_ = true;
      return;
    }
    const std::string_view type = http::find_header(response.headers, "Content-Type");
    if (media_type(type) == "text/plain") return;
    const api::Kind* kind = facts.sub == nullptr ? facts.kind : nullptr;
    response_ = as_json(type, response.body_bytes(), kind, decision_.omits_managed_fields);
  }

  AuditFile& file_;
  const std::function<api::Timestamp()> now_;
  const AuditDecision decision_;
  Value event_;
  const http::Request* will_take_;  // until it is answered
  std::string request_;
  std::string response_;
  bool is_truncated_ = false;
};

}  // namespace

Task<std::shared_ptr<AuditedRequest>> AuditLog::begin(Loop& here, const http::Request& request,
                                                      const RequestFacts& facts) {
  AuditDecision decision = policy_.decide(facts);
  if (decision.level == AuditLevel::kNone) co_return nullptr;
  const User nobody;
  Value event = Value::object({{"kind", "Event"},
                               {"apiVersion", "audit.k8s.io/v1"},
                               {"level", to_string(decision.level)},
                               {"auditID", facts.id},
                               {"stage", to_string(AuditStage::kRequestReceived)},
                               {"requestURI", as_utf8(request.target, request.target.size())},
                               {"verb", facts.info->verb},
                               {"user", user_value(facts.sender ? *facts.sender : nobody)}});
  // This process's own controllers come from nowhere.
  if (!request.peer.address.empty()) event["sourceIPs"] = strings({request.peer.address});
  const std::string_view agent = request.header("User-Agent");
  if (!agent.empty()) event["userAgent"] = as_utf8(agent, 1024);
  if (facts.info->is_resource) event["objectRef"] = reference(*facts.info);
  event["requestReceivedTimestamp"] = api::format_rfc3339_micro(now_());
  auto audited = std::make_shared<Audited>(file_, now_, std::move(decision), std::move(event), request);
  co_await audited->write(here, AuditStage::kRequestReceived);
  co_return audited;
}

void AuditLog::write_metrics(metrics::Page* page) const {
  page->single("apiserver_audit_event_total", "Records of the audit log that were written.", "counter",
               static_cast<double>(file_.written()));
  page->begin("apiserver_audit_error_total", "Records of the audit log that were lost.", "counter");
  page->sample("apiserver_audit_error_total", {{"plugin", "log"}}, static_cast<double>(file_.lost()));
}

}  // namespace gantry::control
