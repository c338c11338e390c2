// SPDX-License-Identifier: Apache-2.0
#include "control/quota/amounts.h"

#include <google/protobuf/map.h>

#include <algorithm>

#include "base/text.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::control {

Amounts read_amounts(const api::Amounts& amounts) {
  Amounts out;
  for (const auto& [name, amount] : amounts) {
    out.emplace(name, api::Quantity::parse(amount.string()).value_or(api::Quantity()));
  }
  return out;
}

void write_amounts(const Amounts& amounts, api::Amounts* out) {
  out->clear();
  for (const auto& [name, amount] : amounts) (*out)[name].set_string(amount.to_string());
}

void add(const Amounts& more, Amounts* sum) {
  for (const auto& [name, amount] : more) {
    const auto [place, is_new] = sum->try_emplace(name, amount);
    if (!is_new) place->second.add(amount);
  }
}

void raise(const Amounts& least, Amounts* amounts) {
  for (const auto& [name, amount] : least) {
    const auto [place, is_new] = amounts->try_emplace(name, amount);
    if (!is_new && place->second.compare(amount) < 0) place->second = amount;
  }
}

Amounts growth(const Amounts& before, const Amounts& now) {
  Amounts out;
  for (const auto& [name, amount] : before) out.emplace(name, api::Quantity());
  for (const auto& [name, amount] : now) {
    api::Quantity more = amount;
    const auto was = before.find(name);
    if (was != before.end()) more.subtract(was->second);
    out[name] = more.is_negative() ? api::Quantity() : more;
  }
  return out;
}

Amounts only(const Amounts& amounts, const Amounts& keep) {
  Amounts out;
  for (const auto& [name, amount] : amounts) {
    if (keep.contains(name)) out.emplace(name, amount);
  }
  return out;
}

Amounts without_zeros(Amounts amounts) {
  std::erase_if(amounts, [](const auto& entry) { return entry.second.is_zero(); });
  return amounts;
}

bool equal(const Amounts& a, const Amounts& b) {
  return std::ranges::equal(a, b,
                            [](const auto& x, const auto& y) { return x.first == y.first && x.second == y.second; });
}

std::string to_text(const Amounts& amounts) {
  std::string out;
  for (const auto& [name, amount] : amounts) out += cat(out.empty() ? "" : ",", name, "=", amount.to_string());
  return out;
}

}  // namespace gantry::control
