// SPDX-License-Identifier: Apache-2.0
#include "agent/pull_record_files.h"

#include <fcntl.h>

#include "api/json.h"
#include "api/time.h"
#include "base/text.h"
#include "images/digest.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/private_file.h"

namespace gantry::agent {

namespace {

using api::Value;

constexpr char kPulling[] = "pulling", kPulled[] = "pulled";
constexpr char kPrefix[] = "sha256-";
constexpr char kVersion[] = "kubelet.config.k8s.io/v1beta1", kFirstVersion[] = "kubelet.config.k8s.io/v1alpha1";
constexpr std::size_t kMaxFile = 1 << 20;

Result<Value> read_document(std::string_view text, std::string_view kind) {
  auto document = api::parse_json(text);
  if (!document) return std::unexpected(std::move(document.error()));
  const std::string version = document->text_at("apiVersion");
  if (document->text_at("kind") != kind || (version != kVersion && version != kFirstVersion)) {
    return invalid_argument(cat("a ", kind, " of ", kVersion, " was expected"));
  }
  return document;
}

Value secrets_of(const PullersOf& pullers) {
  Value::List list;
  for (const RecordedSecret& one : pullers.secrets) {
    list.push_back(Value::object({{"uid", one.secret.uid},
                                  {"namespace", one.secret.namespace_},
                                  {"name", one.secret.name},
                                  {"credentialHash", one.hash}}));
  }
  return list;
}

PullersOf read_pullers(const Value& value) {
  PullersOf pullers;
  if (const Value* every = value.find("nodePodsAccessible")) pullers.every_pod = every->as_bool().value_or(false);
  for (const Value& one : value.list_at("kubernetesSecrets")) {
    pullers.secrets.push_back(
        {{one.text_at("uid"), one.text_at("namespace"), one.text_at("name")}, one.text_at("credentialHash")});
  }
  if (const Value* accounts = value.find("kubernetesServiceAccounts"); accounts != nullptr && !accounts->is_null()) {
    pullers.service_accounts = api::write_json(*accounts);
  }
  return pullers;
}

Status remove(const std::string& folder, const std::string& name) {
  auto opened = sys::open_dir(sys::kCwd, folder.c_str());
  if (!opened) return fail_with(std::move(opened.error()), folder);
  auto gone = sys::unlinkat(*opened, pull_record_file(name).c_str(), 0);
  if (!gone && gone.error().is_not_found()) return {};
  return gone ? sys::sync_folder(*opened) : fail_with(std::move(gone.error()), folder);
}

Status put(const std::string& folder, const std::string& name, std::string_view text) {
  auto opened = sys::open_dir(sys::kCwd, folder.c_str());
  if (!opened) return fail_with(std::move(opened.error()), folder);
  auto written = sys::write_private_file(*opened, pull_record_file(name), text);
  return written ? written : fail_with(std::move(written.error()), folder);
}

// Calls `take` with the text of each file; what it refuses is broken.
template <typename Take>
Status read_files(const std::string& folder, std::map<std::string, Error>* broken, Take take) {
  if (auto made = sys::make_folders(folder, 0700); !made) return made;
  auto opened = sys::open_dir(sys::kCwd, folder.c_str());
  if (!opened) return fail_with(std::move(opened.error()), folder);
  auto names = sys::list_dir(*opened);
  if (!names) return fail_with(std::move(names.error()), folder);
  for (const auto& name : *names) {
    if (!name.starts_with(kPrefix)) continue;
    if (name.find('.') != std::string::npos) {
      (void)sys::unlinkat(*opened, name.c_str(), 0);  // a write that was cut short
      continue;
    }
    auto text = sys::read_file(*opened, name.c_str(), kMaxFile);
    Status taken = text ? take(name, *text) : std::unexpected(std::move(text.error()));
    if (!taken) broken->emplace(name, std::move(taken.error()).with_context(cat(folder, "/", name)));
  }
  return {};
}

}  // namespace

std::string pull_record_file(const std::string& name) { return kPrefix + images::digest_of(name).hex(); }

std::string write_pulled_record(const PulledRecord& record) {
  Value::Object names;
  for (const auto& [name, pullers] : record.names) {
    Value one{Value::Object()};
    if (pullers.every_pod) one["nodePodsAccessible"] = true;
    if (!pullers.secrets.empty()) one["kubernetesSecrets"] = secrets_of(pullers);
    if (auto accounts = api::parse_json(pullers.service_accounts); !pullers.service_accounts.empty() && accounts) {
      one["kubernetesServiceAccounts"] = std::move(*accounts);
    }
    names.emplace_back(name, std::move(one));
  }
  return api::write_json(Value::object({{"kind", "ImagePulledRecord"},
                                        {"apiVersion", kVersion},
                                        {"lastUpdatedTime", api::format_rfc3339(record.updated)},
                                        {"imageRef", record.id},
                                        {"credentialMapping", Value(std::move(names))}}));
}

Result<PulledRecord> read_pulled_record(std::string_view text) {
  auto document = read_document(text, "ImagePulledRecord");
  if (!document) return std::unexpected(std::move(document.error()));
  PulledRecord record;
  record.id = document->text_at("imageRef");
  if (record.id.empty()) return invalid_argument("imageRef: an image's id was expected");
  if (auto time = api::parse_rfc3339(document->text_at("lastUpdatedTime"))) record.updated = time->seconds;
  if (const Value* names = document->find("credentialMapping"); names != nullptr && names->as_object() != nullptr) {
    for (const auto& [name, pullers, position] : *names->as_object()) record.names[name] = read_pullers(pullers);
  }
  return record;
}

std::string write_pull_intent(const std::string& image) {
  return api::write_json(Value::object({{"kind", "ImagePullIntent"}, {"apiVersion", kVersion}, {"image", image}}));
}

Result<std::string> read_pull_intent(std::string_view text) {
  auto document = read_document(text, "ImagePullIntent");
  if (!document) return std::unexpected(std::move(document.error()));
  std::string image = document->text_at("image");
  if (image.empty()) return invalid_argument("image: a name was expected");
  return image;
}

Result<PullRecordFiles::All> PullRecordFiles::load() const {
  All all;
  auto read = read_files(cat(folder_, "/", kPulling), &all.broken, [&](const std::string& name, const auto& text) {
    auto image = read_pull_intent(text);
    if (!image) return Status(std::unexpected(std::move(image.error())));
    if (pull_record_file(*image) == name) all.intents.push_back(std::move(*image));
    return Status();
  });
  if (!read) return std::unexpected(std::move(read.error()));
  read = read_files(cat(folder_, "/", kPulled), &all.broken, [&](const std::string& name, const auto& text) {
    auto record = read_pulled_record(text);
    if (!record) return Status(std::unexpected(std::move(record.error())));
    if (pull_record_file(record->id) == name) all.records.push_back(std::move(*record));
    return Status();
  });
  if (!read) return std::unexpected(std::move(read.error()));
  return all;
}

Status PullRecordFiles::put_intent(const std::string& image) const {
  return put(cat(folder_, "/", kPulling), image, write_pull_intent(image));
}

Status PullRecordFiles::remove_intent(const std::string& image) const {
  return remove(cat(folder_, "/", kPulling), image);
}

Status PullRecordFiles::put_record(const PulledRecord& record) const {
  return put(cat(folder_, "/", kPulled), record.id, write_pulled_record(record));
}

Status PullRecordFiles::remove_record(const std::string& id) const { return remove(cat(folder_, "/", kPulled), id); }

}  // namespace gantry::agent
