// SPDX-License-Identifier: Apache-2.0
#include "control/store/etcd/etcd_store.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/log.h"
#include "control/store/etcd/etcd_client.h"
#include "control/store/history.h"
#include "etcd/rpc.pb.h"

namespace gantry::control {

namespace pb = etcdserverpb;

namespace {

// How much one Range should answer; the first one of a list, when the size of its entries is not known, asks for few.
constexpr std::size_t kRangeBytes = 1 << 20;
constexpr std::int64_t kFirstRange = 32;
constexpr std::int64_t kLastRange = 2000;

// The key by which all who use an etcd agree on who compacts, as upstream's API servers do.
constexpr const char* kCompactKey = "compact_rev_key";

EntryPtr entry_of(const mvccpb::KeyValue& kv) {
  return std::make_shared<const Entry>(Entry{kv.key(), kv.value(), kv.create_revision(), kv.mod_revision()});
}

// etcd takes no empty key: "\0" to "\0" are all there are.
void set_range(pb::RangeRequest& request, std::string_view prefix, std::string_view after) {
  std::string from(prefix);
  if (!after.empty() && after >= prefix) from = std::string(after) + '\0';
  request.set_key(from.empty() ? std::string(1, '\0') : from);
  request.set_range_end(prefix.empty() ? std::string(1, '\0') : end_of_prefix(prefix));
}

// Versions whose answer to a request for progress does not overtake events.
bool tells_progress(std::string_view version) {
  std::array<int, 3> numbers{};
  const char* at = version.data();
  const char* end = at + version.size();
  for (int& number : numbers) {
    auto [next, error] = std::from_chars(at, end, number);
    if (error != std::errc()) return false;
    at = next == end ? end : next + 1;
  }
  if (numbers[0] != 3) return numbers[0] > 3;
  if (numbers[1] == 4) return numbers[2] >= 31;
  return numbers[1] == 5 ? numbers[2] >= 13 : numbers[1] > 5;
}

Task<Result<ListAnswer>> list_pages(std::shared_ptr<EtcdClient> client, Loop& here, ListRequest request) {
  ListAnswer answer;
  answer.revision = request.revision;
  std::size_t bytes = 0;
  std::int64_t size = kFirstRange;
  std::string after = request.after;
  for (;;) {
    pb::RangeRequest range;
    set_range(range, request.prefix, after);
    range.set_revision(answer.revision);
    if (request.limit != 0) size = std::min(size, static_cast<std::int64_t>(request.limit - answer.entries.size()));
    range.set_limit(size);
    auto page = co_await client->range(here, std::move(range));
    if (!page) co_return std::unexpected(std::move(page.error()));
    if (answer.revision == 0) answer.revision = (*page)->header().revision();
    for (const auto& kv : (*page)->kvs()) {
      bytes += kv.key().size() + kv.value().size();
      answer.entries.push_back(entry_of(kv));
    }
    answer.more = (*page)->more();
    answer.rest = answer.more ? (*page)->count() - (*page)->kvs_size() : 0;
    bool full = (request.limit != 0 && answer.entries.size() >= request.limit) || bytes >= request.max_bytes;
    if (!answer.more || full || (*page)->kvs_size() == 0) co_return answer;
    after = answer.entries.back()->key;
    std::size_t wanted = std::min(kRangeBytes, request.max_bytes - bytes);
    size = std::clamp<std::int64_t>(
        static_cast<std::int64_t>(wanted * answer.entries.size() / std::max<std::size_t>(bytes, 1)), 1, kLastRange);
  }
}

// The transaction of a write; its parts are read in answer_of().
pb::TxnRequest txn_of(const Write& write, std::int64_t lease) {
  pb::TxnRequest txn;
  if (write.expected != kAnyRevision) {
    auto& compare = *txn.add_compare();
    compare.set_result(pb::Compare::EQUAL);
    compare.set_target(pb::Compare::MOD);
    compare.set_key(write.key);
    compare.set_mod_revision(write.expected);
    txn.add_failure()->mutable_request_range()->set_key(write.key);
  }
  if (!write.value) {
    auto& remove = *txn.add_success()->mutable_request_delete_range();
    remove.set_key(write.key);
    remove.set_prev_kv(true);
    return txn;
  }
  auto& put = *txn.add_success()->mutable_request_put();
  put.set_key(write.key);
  put.set_value(*write.value);
  put.set_lease(lease);
  // When the key was made.
  auto& range = *txn.add_success()->mutable_request_range();
  range.set_key(write.key);
  range.set_keys_only(true);
  return txn;
}

WriteAnswer answer_of(Write& write, const pb::TxnResponse& response) {
  WriteAnswer answer{response.succeeded(), nullptr, response.header().revision()};
  if (!response.succeeded()) {
    const auto& range = response.responses(0).response_range();
    if (range.kvs_size() > 0) answer.entry = entry_of(range.kvs(0));
  } else if (!write.value) {
    const auto& removed = response.responses(0).response_delete_range();
    answer.done = removed.prev_kvs_size() > 0;
    if (answer.done) answer.entry = entry_of(removed.prev_kvs(0));
  } else {
    const auto& kv = response.responses(1).response_range().kvs(0);
    answer.entry = std::make_shared<const Entry>(
        Entry{std::move(write.key), std::move(*write.value), kv.create_revision(), kv.mod_revision()});
  }
  return answer;
}

Task<Result<WriteAnswer>> write_txn(std::shared_ptr<EtcdClient> client, Loop& here, Write write) {
  if (write.key.empty() || write.key.size() > kMaxKey || (write.value && write.value->size() > kMaxValue)) {
    co_return invalid_argument("store: a key of " + std::to_string(write.key.size()) + " bytes with a value of " +
                               std::to_string(write.value ? write.value->size() : 0));
  }
  std::int64_t lease = 0;
  if (write.value && write.ttl) {
    auto granted = co_await client->lease(here, *write.ttl);
    if (!granted) co_return fail_with(std::move(granted.error()), "write " + write.key);
    lease = *granted;
  }
  auto response = co_await client->txn(here, txn_of(write, lease));
  if (!response) co_return fail_with(std::move(response.error()), "write " + write.key);
  std::size_t expected = (*response)->succeeded() && write.value ? 2 : 1;
  if (static_cast<std::size_t>((*response)->responses_size()) != expected) {
    co_return fail(Code::kInternal, "write " + write.key + ": etcd answered with other parts than were asked");
  }
  co_return answer_of(write, **response);
}

// Says that it is this program that compacts in this round, unless another one was quicker. `version` is the key's, as
// it was seen in the last round, and `revision` what was current then; both become those of now.
Task<Result<bool>> take_round(std::shared_ptr<EtcdClient> client, Loop& here, std::int64_t& version,
                              std::int64_t& revision) {
  pb::TxnRequest txn;
  auto& compare = *txn.add_compare();
  compare.set_result(pb::Compare::EQUAL);
  compare.set_target(pb::Compare::VERSION);
  compare.set_key(kCompactKey);
  compare.set_version(version);
  auto& put = *txn.add_success()->mutable_request_put();
  put.set_key(kCompactKey);
  put.set_value(std::to_string(revision));
  txn.add_failure()->mutable_request_range()->set_key(kCompactKey);
  auto response = co_await client->txn(here, std::move(txn));
  if (!response) co_return std::unexpected(std::move(response.error()));
  revision = (*response)->header().revision();
  if ((*response)->succeeded()) {
    ++version;
    co_return true;
  }
  const auto& range = (*response)->responses(0).response_range();
  version = range.kvs_size() > 0 ? range.kvs(0).version() : 0;
  co_return false;
}

// Forgets what is older than `age`, as long as the client lives.
Task<> compact_old(std::weak_ptr<EtcdClient> weak, Loop& home, Duration age) {
  std::int64_t version = 0;
  std::int64_t revision = 0;
  for (;;) {
    std::int64_t then = revision;
    if (auto client = weak.lock()) {
      auto taken = co_await take_round(client, home, version, revision);
      if (!taken) {
        log::warning("etcd: cannot agree on who compacts, trying again later", {{"error", taken.error()}});
      } else if (*taken && then > 0) {
        pb::CompactionRequest request;
        request.set_revision(then);
        auto done = co_await client->compact(home, std::move(request));
        if (!done && !is_compacted(done.error())) log::warning("etcd: compaction failed", {{"error", done.error()}});
      }
    } else {
      co_return;
    }
    co_await home.sleep_for(age);
  }
}

}  // namespace

Task<Result<std::unique_ptr<EtcdStore>>> EtcdStore::open(Loop& home, EtcdOptions options) {
  Duration history = options.history;
  auto client = EtcdClient::make(std::move(options));
  if (!client) co_return std::unexpected(std::move(client.error()));
  auto status = co_await (*client)->status(home, {});
  if (!status) co_return std::unexpected(std::move(status.error()));
  if (!tells_progress((*status)->version())) {
    co_return fail(Code::kUnimplemented,
                   "etcd " + (*status)->version() + " is too old: 3.4.31, 3.5.13 or later is needed");
  }
  home.spawn(compact_old(*client, home, history));
  co_return std::unique_ptr<EtcdStore>(new EtcdStore(std::move(*client)));
}

EtcdStore::EtcdStore(std::shared_ptr<EtcdClient> client) : client_(std::move(client)) {}
EtcdStore::~EtcdStore() { client_->close(); }

static Task<Result<GetAnswer>> get_range(std::shared_ptr<EtcdClient> client, Loop& here, std::string key,
                                         std::int64_t revision) {
  pb::RangeRequest request;
  request.set_key(std::move(key));
  request.set_revision(revision);
  auto response = co_await client->range(here, std::move(request));
  if (!response) co_return std::unexpected(std::move(response.error()));
  const auto& range = **response;
  co_return GetAnswer{range.kvs_size() > 0 ? entry_of(range.kvs(0)) : nullptr,
                      revision != 0 ? revision : range.header().revision()};
}

static Task<Result<StoreCounts>> count_range(std::shared_ptr<EtcdClient> client, Loop& here, std::string prefix) {
  pb::RangeRequest request;
  set_range(request, prefix, "");
  request.set_count_only(true);
  auto response = co_await client->range(here, std::move(request));
  if (!response) co_return std::unexpected(std::move(response.error()));
  co_return StoreCounts{(*response)->count(), 0, 0, (*response)->header().revision()};
}

Task<Result<GetAnswer>> EtcdStore::get(Loop& here, std::string key, std::int64_t revision) {
  return get_range(client_, here, std::move(key), revision);
}

Task<Result<ListAnswer>> EtcdStore::list(Loop& here, ListRequest request) {
  return list_pages(client_, here, std::move(request));
}

Task<Result<std::int64_t>> EtcdStore::count(Loop& here, std::string prefix) {
  auto counts = co_await count_range(client_, here, std::move(prefix));
  if (!counts) co_return std::unexpected(std::move(counts.error()));
  co_return counts->entries;
}

Task<Result<std::int64_t>> EtcdStore::current_revision(Loop& here) {
  // A key that nobody has: the quorum's answer says the revision.
  auto answer = co_await get_range(client_, here, std::string(1, '\0'), 0);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return answer->revision;
}

Task<Result<StoreCounts>> EtcdStore::counts(Loop& here) {
  auto client = client_;
  auto counts = co_await count_range(client, here, "");
  if (!counts) co_return counts;
  auto status = co_await client->status(here, {});
  if (!status) co_return std::unexpected(std::move(status.error()));
  counts->bytes = (*status)->dbsize();
  co_return counts;
}

Task<Result<WriteAnswer>> EtcdStore::write(Loop& here, Write write) {
  return write_txn(client_, here, std::move(write));
}

std::unique_ptr<Watcher> EtcdStore::watch(Loop& here, std::string prefix, std::int64_t after) {
  return client_->watch(here, std::move(prefix), after);
}

Task<Status> EtcdStore::compact(Loop& here, std::int64_t revision) {
  pb::CompactionRequest request;
  request.set_revision(revision);
  auto response = co_await client_->compact(here, std::move(request));
  // Already compacted, or further: as it should be.
  if (!response && !is_compacted(response.error())) co_return std::unexpected(std::move(response.error()));
  co_return Status();
}

}  // namespace gantry::control
