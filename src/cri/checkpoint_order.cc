// SPDX-License-Identifier: Apache-2.0
#include "cri/checkpoint_order.h"

#include <boost/json.hpp>

#include "base/text.h"
#include "runtime/plan/text.h"

namespace gantry::cri {
namespace {

namespace json = boost::json;
using runtime::oci::IdMapping;

json::array texts(const std::vector<std::string>& all) {
  json::array list;
  for (const std::string& each : all) list.emplace_back(each);
  return list;
}
json::array mappings(const std::vector<IdMapping>& all) {
  json::array list;
  for (const IdMapping& each : all) list.push_back(json::array{each.container, each.host, each.size});
  return list;
}

std::vector<std::string> read_texts(const json::value& value) {
  std::vector<std::string> all;
  for (const json::value& each : value.as_array()) all.emplace_back(each.as_string());
  return all;
}
std::vector<IdMapping> read_mappings(const json::value& value) {
  std::vector<IdMapping> all;
  for (const json::value& each : value.as_array()) {
    const json::array& one = each.as_array();
    all.push_back({one.at(0).to_number<std::uint32_t>(), one.at(1).to_number<std::uint32_t>(),
                   one.at(2).to_number<std::uint32_t>()});
  }
  return all;
}

}  // namespace

std::string encode(const CheckpointOrder& order) {
  json::array documents;
  for (const auto& [name, text] : order.documents) documents.push_back(json::array{name, text});
  return json::serialize(json::object{{"pid", order.pid},
                                      {"cgroup", order.cgroup},
                                      {"criu", order.criu},
                                      {"fromHost", texts(order.from_host)},
                                      {"masked", texts(order.masked)},
                                      {"uids", mappings(order.users.uids)},
                                      {"gids", mappings(order.users.gids)},
                                      {"name", order.name},
                                      {"documents", std::move(documents)}});
}

Result<CheckpointOrder> decode_order(std::string_view text) {
  try {
    const json::value value = json::parse(text);
    const json::object& object = value.as_object();
    CheckpointOrder order;
    order.pid = object.at("pid").to_number<pid_t>();
    order.cgroup = object.at("cgroup").as_string();
    order.criu = object.at("criu").as_string();
    order.from_host = read_texts(object.at("fromHost"));
    order.masked = read_texts(object.at("masked"));
    order.users.uids = read_mappings(object.at("uids"));
    order.users.gids = read_mappings(object.at("gids"));
    order.name = object.at("name").as_string();
    for (const json::value& each : object.at("documents").as_array()) {
      order.documents.emplace_back(each.as_array().at(0).as_string(), each.as_array().at(1).as_string());
    }
    return order;
  } catch (const std::exception& e) {
    return fail(Code::kDataLoss, std::string("the checkpoint worker's order: ") + e.what());
  }
}

std::string encode_answer(const Status& answer) {
  if (answer) return "0 ";
  return cat(static_cast<int>(answer.error().code()), " ", answer.error().message());
}

std::optional<Status> decode_answer(std::string_view text) {
  const std::size_t space = text.find(' ');
  auto code = runtime::parse_number<int>(text.substr(0, space));
  if (space == text.npos || !code || *code < 0 || *code > static_cast<int>(Code::kUnauthenticated)) return std::nullopt;
  if (*code == 0) return Status();
  return fail(static_cast<Code>(*code), std::string(text.substr(space + 1)));
}

}  // namespace gantry::cri
