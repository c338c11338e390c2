// SPDX-License-Identifier: Apache-2.0
#include "agent/pull_records.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "images/digest.h"
#include "images/reference.h"

namespace gantry::agent {

namespace {

using std::chrono::system_clock;

// Secrets of one image that are kept; beyond that a pod pulls.
constexpr std::size_t kMaxSecrets = 100;
constexpr std::chrono::hours kLatestEnd{1};

std::int64_t seconds_of(system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

// Without tag and digest; "" for what is no name.
std::string name_of(const std::string& image) {
  const auto reference = images::parse_reference(image);
  return reference ? reference->name() : "";
}

std::vector<RecordedSecret> recorded(const PullCredentials& shown) {
  std::vector<RecordedSecret> all;
  const std::string hash = hash_of(shown.credentials);
  for (const SecretName& secret : shown.secrets) all.push_back({secret, hash});
  return all;
}

}  // namespace

std::string hash_of(const images::Credentials& credentials) {
  std::string text;
  for (const std::string* part :
       {&credentials.username, &credentials.password, &credentials.identity_token, &credentials.registry_token}) {
    text += cat(part->size(), ":", *part);
  }
  return images::digest_of(text).hex();
}

PullRecords::PullRecords(Loop& loop, Pool& disk, std::string folder, PullVerification rules)
    : disk_(disk),
      files_(std::make_shared<const PullRecordFiles>(std::move(folder))),
      rules_(std::move(rules)),
      writing_(loop) {}

Task<Status> PullRecords::load() {
  auto all = co_await disk_.run([files = files_] { return files->load(); });
  if (!all) co_return std::unexpected(std::move(all.error()));
  const auto now = system_clock::now();
  for (auto& image : all->intents) intents_[std::move(image)] = {.under_way = 0, .may_end_later = true, .since = now};
  for (auto& record : all->records) {
    std::string id = record.id;
    records_[std::move(id)] = std::move(record);
  }
  for (const auto& [name, error] : all->broken) {
    log::error("a record of a pulled image can't be read; who wants that image pulls it", {{"error", error}});
    broken_.insert(name);
  }
  co_return Status();
}

bool PullRecords::was_pulled_here(const std::string& image, const std::string& id) const {
  return records_.contains(id) || intents_.contains(image) || broken_.contains(pull_record_file(id)) ||
         broken_.contains(pull_record_file(image));
}

PullRecords::Use PullRecords::use_of(const std::string& image, const std::string& id) const {
  const std::string name = name_of(image);
  if (!rules_.asks_for(name, was_pulled_here(image, id))) return Use::kFree;
  const auto record = records_.find(id);
  if (record == records_.end()) return Use::kNot;
  const auto pullers = record->second.names.find(name);
  if (pullers == record->second.names.end()) return Use::kNot;
  if (pullers->second.every_pod) return Use::kFree;
  return pullers->second.secrets.empty() ? Use::kNot : Use::kSecretDecides;
}

Task<bool> PullRecords::is_good(std::string image, std::string id, std::vector<PullCredentials> shown) {
  const auto record_found = records_.find(id);
  if (record_found == records_.end()) co_return false;
  const auto pullers = record_found->second.names.find(name_of(image));
  if (pullers == record_found->second.names.end()) co_return false;
  const auto known = pullers->second.secrets;
  for (const PullCredentials& one : shown) {
    for (RecordedSecret& secret : recorded(one)) {
      // A secret that has changed since is believed, as kubelet does: whoever may change it was let in.
      const auto is_same = [&](const RecordedSecret& other) {
        return (!other.hash.empty() && other.hash == secret.hash) || other.secret == secret.secret;
      };
      if (std::ranges::none_of(known, is_same)) continue;
      const bool is_new = std::ranges::find(known, secret) == known.end();
      if (is_new && known.size() < kMaxSecrets) co_await record(image, id, {std::move(secret)}, false);
      co_return true;
    }
  }
  co_return false;
}

Task<Status> PullRecords::begin(std::string image) {
  auto held = co_await writing_.acquire();
  Intent& intent = intents_[image];
  ++intent.under_way;
  // One that can't be read may be of a pull that was cut short.
  const bool was_broken = broken_.erase(pull_record_file(image)) > 0;
  intent.may_end_later |= was_broken;
  if (intent.under_way > 1 || (intent.may_end_later && !was_broken)) co_return Status();
  intent.since = system_clock::now();
  auto written = co_await disk_.run([files = files_, image] { return files->put_intent(image); });
  if (written) co_return written;
  Intent& again = intents_[image];
  if (--again.under_way == 0 && !again.may_end_later) intents_.erase(image);
  co_return fail_with(std::move(written.error()), cat("record that image ", quoted(image), " is pulled"));
}

Task<> PullRecords::end_intent(std::string image) {
  auto held = co_await writing_.acquire();
  const auto found = intents_.find(image);
  if (found == intents_.end()) co_return;
  if (found->second.under_way > 0) --found->second.under_way;
  if (found->second.under_way > 0 || found->second.may_end_later) co_return;
  auto removed = co_await disk_.run([files = files_, image] { return files->remove_intent(image); });
  // Then it is asked for credentials once too often.
  if (!removed) log::warning("an intent to pull stays, ignoring", {{"image", image}, {"error", removed.error()}});
  intents_.erase(image);
}

Task<> PullRecords::record(std::string image, std::string id, std::vector<RecordedSecret> secrets, bool every_pod) {
  auto held = co_await writing_.acquire();
  PulledRecord& known = records_[id];
  known.id = id;
  known.updated = seconds_of(system_clock::now());
  PullersOf& pullers = known.names[name_of(image)];
  pullers.every_pod |= every_pod;
  for (RecordedSecret& secret : secrets) {
    // One of the same name is of before its secret was changed.
    std::erase_if(pullers.secrets, [&](const RecordedSecret& other) { return other.secret == secret.secret; });
    if (pullers.secrets.size() < kMaxSecrets) pullers.secrets.push_back(std::move(secret));
  }
  auto written = co_await disk_.run([files = files_, copy = known] { return files->put_record(copy); });
  if (!written) {
    log::error("who may use a pulled image is forgotten when gantryd ends",
               {{"image", image}, {"error", written.error()}});
  }
}

Task<> PullRecords::succeeded(std::string image, std::string id, PullCredentials by) {
  co_await record(image, id, recorded(by), by.secrets.empty());
  broken_.erase(pull_record_file(id));
  if (const auto intent = intents_.find(image); intent != intents_.end()) intent->second.may_end_later = false;
  co_await end_intent(std::move(image));
}

Task<> PullRecords::failed(std::string image) { co_await end_intent(std::move(image)); }

void PullRecords::given_up(const std::string& image) {
  const auto intent = intents_.find(image);
  if (intent == intents_.end()) return;
  if (intent->second.under_way > 0) --intent->second.under_way;
  intent->second.may_end_later = true;
  intent->second.since = system_clock::now();
}

Task<> PullRecords::keep_only(std::set<std::string> ids, std::set<std::string> names, system_clock::time_point began) {
  auto held = co_await writing_.acquire();
  std::vector<std::string> gone, over;
  for (const auto& [id, record] : records_) {
    if (!ids.contains(id) && record.updated < seconds_of(began)) gone.push_back(id);
  }
  for (const auto& [image, intent] : intents_) {
    const auto reference = images::parse_reference(image);
    const bool is_here = names.contains(reference ? reference->to_string() : image);
    if (intent.under_way == 0 && !is_here && began - intent.since > kLatestEnd) over.push_back(image);
  }
  // One whose file stays is found by the next agent, and forgotten again.
  for (const auto& id : gone) records_.erase(id);
  for (const auto& image : over) intents_.erase(image);
  co_await disk_.run([files = files_, gone, over] {
    for (const auto& id : gone) (void)files->remove_record(id);
    for (const auto& image : over) (void)files->remove_intent(image);
  });
}

}  // namespace gantry::agent
