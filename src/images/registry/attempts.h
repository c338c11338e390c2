// SPDX-License-Identifier: Apache-2.0
// With whose credentials a registry is asked: those of the request, or each of the keyring's in its turn while the
// registry refuses; none, when there are none. Internal to src/images.
#pragma once

#include <algorithm>
#include <string>

#include "base/result.h"
#include "images/reference.h"
#include "images/registry/access.h"
#include "images/registry/keyring.h"
#include "images/text.h"

namespace gantry::images {

// `call(RegistryAccess&)` gives a Result. After a refusal the error says what was wrong with the keyring, too.
template <typename Call>
auto with_credentials(const Reference& reference, const RegistryOptions& options, const Call& call)
    -> std::invoke_result_t<Call, RegistryAccess&> {
  constexpr std::size_t kMaxTries = 8;
  Keyring::Found found;
  found.credentials = {options.credentials};
  if (options.keyring != nullptr && options.credentials == Credentials())
    found = options.keyring->find(cat(reference.domain, "/", reference.path));
  if (found.credentials.empty()) found.credentials.emplace_back();
  found.credentials.resize(std::min(found.credentials.size(), kMaxTries));
  std::invoke_result_t<Call, RegistryAccess&> result = fail(Code::kUnauthenticated, "");
  for (const Credentials& credentials : found.credentials) {
    RegistryOptions with = options;
    with.credentials = credentials;
    auto access = RegistryAccess::open(reference, std::move(with));
    if (!access) return std::unexpected(std::move(access.error()));
    result = call(*access);
    // Another password mends nothing else: all would be fetched again, and the error would blame the keyring.
    if (result || !access->was_refused()) return result;
  }
  std::string problems;
  for (const Error& problem : found.problems) problems += cat("; ", as_utf8(problem.message(), 500));
  return fail(result.error().code(), cat(result.error().message(), problems));
}

}  // namespace gantry::images
