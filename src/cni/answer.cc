// SPDX-License-Identifier: Apache-2.0
#include "cni/answer.h"

#include <algorithm>

#include "api/json.h"
#include "base/text.h"

namespace gantry::cni {
namespace {

using api::Value;

constexpr api::ParseLimits kLimits{.bytes = kMaxAnswerBytes, .depth = 32, .nodes = 50'000};
constexpr std::size_t kMaxAddresses = 64;

Result<Value> parse_object(std::string_view text) {
  auto value = api::parse_json(text, kLimits);
  if (!value) return value;
  if (!value->is_object()) return invalid_argument(cat(describe(*value), ": an object was expected"));
  return value;
}

// A list's entries; none when it is absent or null.
Result<const Value::List*> list_of(const Value& object, std::string_view key) {
  static const Value::List kNone;
  const Value* value = object.find(key);
  if (!value || value->is_null()) return &kNone;
  if (!value->is_list()) return invalid_argument(cat(key, ": ", describe(*value), " is wrong: a list was expected"));
  return value->as_list();
}

// "10.1.0.5/16": the address.
Result<netns::IpAddress> parse_address(const Value* value, std::string_view field) {
  const std::string* text = value ? value->as_string() : nullptr;
  if (text) {
    std::string_view whole = *text;
    auto slash = whole.find('/');
    auto address = netns::IpAddress::parse(whole.substr(0, slash));
    if (address && slash != whole.npos) {
      std::string_view prefix = whole.substr(slash + 1);
      bool number = !prefix.empty() && prefix.size() <= 3 && prefix.find_first_not_of("0123456789") == prefix.npos;
      if (number && std::stoul(std::string(prefix)) <= address->bits()) return address;
    }
  }
  return invalid_argument(cat(field, ": ", value ? describe(*value) : "nothing",
                              " is wrong: an address with its prefix, such as 10.1.0.5/16, was expected"));
}

// Whether an entry of `ips` is of the pod's interface: it names it, or none.
Result<bool> is_of_interface(const Value& entry, const Value::List& interfaces, std::string_view name,
                             std::string_view field) {
  const Value* index = entry.find("interface");
  if (!index || index->is_null()) return true;
  auto number = index->as_uint64();
  if (!number || *number >= interfaces.size()) {
    return invalid_argument(cat(field, ".interface: ", describe(*index), " is wrong: one of ", interfaces.size(),
                                " interfaces was expected"));
  }
  const Value& interface = interfaces[*number];
  const Value* its_name = interface.find("name");
  const Value* sandbox = interface.find("sandbox");
  bool inside = sandbox && sandbox->is_string() && !sandbox->as_string()->empty();
  return inside && its_name && its_name->is_string() && *its_name->as_string() == name;
}

Status read_addresses(const Value& result, std::string_view interface, std::vector<netns::IpAddress>& out) {
  auto ips = list_of(result, "ips");
  if (!ips) return std::unexpected(std::move(ips.error()));
  auto interfaces = list_of(result, "interfaces");
  if (!interfaces) return std::unexpected(std::move(interfaces.error()));
  if ((*ips)->size() > kMaxAddresses)
    return invalid_argument(cat("ips: has more than the ", kMaxAddresses, " addresses that are allowed"));
  for (std::size_t i = 0; i < (*ips)->size(); ++i) {
    const Value& entry = (**ips)[i];
    std::string field = cat("ips[", i, "]");
    auto mine = is_of_interface(entry, **interfaces, interface, field);
    if (!mine) return std::unexpected(std::move(mine.error()));
    auto address = parse_address(entry.find("address"), cat(field, ".address"));
    if (!address) return std::unexpected(std::move(address.error()));
    if (*mine) out.push_back(*address);
  }
  return {};
}

// Before 0.3.0: an object for each family.
Status read_old_addresses(const Value& result, std::vector<netns::IpAddress>& out) {
  for (std::string_view key : {"ip4", "ip6"}) {
    const Value* of_family = result.find(key);
    if (!of_family || of_family->is_null()) continue;
    auto address = parse_address(of_family->find("ip"), cat(key, ".ip"));
    if (!address) return std::unexpected(std::move(address.error()));
    out.push_back(*address);
  }
  return {};
}

std::string text_or_nothing(const Value& object, std::string_view key) {
  const Value* value = object.find(key);
  return value && value->is_string() ? *value->as_string() : "";
}

}  // namespace

Result<AddResult> parse_result(std::string_view text, Version version, std::string_view interface) {
  if (trimmed(text).empty()) return invalid_argument("it printed nothing: a result was expected");
  auto object = parse_object(text);
  if (!object) return fail_with(std::move(object.error()), "its result");
  AddResult result;
  if (const Value* said = object->find("cniVersion"); said && !said->is_null()) {
    if (!said->is_string() || *said->as_string() != to_string(version)) {
      return invalid_argument(cat("its result: cniVersion: ", describe(*said), " is wrong: ", to_string(version),
                                  ", which it was asked in, was expected"));
    }
  }
  set_member(*object, "cniVersion", to_string(version));
  Status read = version < Version::k0_3_0 ? read_old_addresses(*object, result.addresses)
                                          : read_addresses(*object, interface, result.addresses);
  if (!read) return fail_with(std::move(read.error()), "its result");
  result.json = std::move(*object);
  return result;
}

std::optional<PluginError> parse_plugin_error(std::string_view text) {
  auto object = parse_object(text);
  if (!object) return std::nullopt;
  const Value* code = object->find("code");
  PluginError error{.code = code ? code->as_uint64().value_or(0) : 0,
                    .message = text_or_nothing(*object, "msg"),
                    .details = text_or_nothing(*object, "details")};
  if (error.code == 0 && error.message.empty()) return std::nullopt;
  return error;
}

Result<std::vector<Version>> parse_versions(std::string_view text) {
  auto object = parse_object(text);
  if (!object) return fail_with(std::move(object.error()), "its versions");
  auto list = list_of(*object, "supportedVersions");
  if (!list) return fail_with(std::move(list.error()), "its versions");
  std::vector<Version> versions;
  for (const Value& entry : **list) {
    auto version = entry.is_string() ? parse_version(*entry.as_string()) : std::nullopt;
    if (version) versions.push_back(*version);
  }
  // Of a plugin that is older than the list.
  if ((*list)->empty()) versions = {Version::k0_1_0, Version::k0_2_0};
  std::ranges::sort(versions);
  return versions;
}

}  // namespace gantry::cni
