// SPDX-License-Identifier: Apache-2.0
// EncryptedStore: a store whose values beneath some prefixes are encrypted in the one that it stands on. Entries that
// it gives are in plain. A value that cannot be decrypted is an error (kDataLoss) of who reads or overwrites it; in
// lists and watches its entry comes without a value, which is no object, so that one damaged entry does not hide the
// others.
//
// Threads and tasks: as the store that it stands on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/encryption/value_keys.h"
#include "control/store/store.h"

namespace gantry::control {

// Keys that begin with `prefix`.
struct EncryptedPrefix {
  std::string prefix;
  std::shared_ptr<const ValueKeys> keys;
};

class EncryptedStore final : public Store {
 public:
  EncryptedStore(std::unique_ptr<Store> inner, std::vector<EncryptedPrefix> prefixes);

  Task<Result<GetAnswer>> get(Loop& here, std::string key, std::int64_t revision = 0) override;
  Task<Result<ListAnswer>> list(Loop& here, ListRequest request) override;
  Task<Result<std::int64_t>> count(Loop& here, std::string prefix) override;
  Task<Result<std::int64_t>> current_revision(Loop& here) override;
  Task<Result<StoreCounts>> counts(Loop& here) override;
  Task<Result<WriteAnswer>> write(Loop& here, Write write) override;
  std::unique_ptr<Watcher> watch(Loop& here, std::string prefix, std::int64_t after) override;
  Task<Status> compact(Loop& here, std::int64_t revision) override;

  // Writes again what is there in plain or with another key than the first, and answers how many those were; what can't
  // be decrypted stays. The store must outlive it. So keys are changed, and encryption begins, at a restart.
  Task<Result<std::size_t>> renew(Loop& here);

 private:
  using Prefixes = std::shared_ptr<const std::vector<EncryptedPrefix>>;
  std::unique_ptr<Store> inner_;
  Prefixes prefixes_;
};

}  // namespace gantry::control
