// SPDX-License-Identifier: Apache-2.0
// The compiled Kubernetes types against the table of the published ones, markers included, for every message that we
// have.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "kubernetes/options.pb.h"
#include "proto/interface_table.h"
#include "proto/kubernetes/all_files.h"

namespace gantry {
namespace {

namespace pb = google::protobuf;
namespace options = gantry::kubernetes;

// Constants that the table names instead of spelling out.
const std::map<std::string, std::string> kConstants = {{"ref(AzureDataDiskCachingReadWrite)", "\"ReadWrite\""},
                                                       {"ref(AzureSharedBlobDisk)", "\"Shared\""}};

std::map<std::string, const pb::Descriptor*> messages() {
  std::map<std::string, const pb::Descriptor*> found;
  for (const pb::Descriptor* message : kubernetes::all_messages()) found[message->full_name()] = message;
  return found;
}

struct Row {
  std::string name;  // as the table has it, which is the JSON name unless a marker says otherwise
  std::string type;
  std::multiset<std::string> markers;
};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(c));
  return text;
}

// The markers that the options of a field stand for, as the table writes them.
std::multiset<std::string> markers_of(const pb::FieldDescriptor& field) {
  const options::Field& option = field.options().GetExtension(options::field);
  std::multiset<std::string> markers;
  const bool is_list = field.is_repeated() || field.type() == pb::FieldDescriptor::TYPE_BYTES;
  const options::Go go = option.has_go()  ? option.go()
                         : field.is_map() ? options::MAP
                         : is_list        ? options::LIST
                                          : options::VALUE;
  markers.insert("go=" + lower(options::Go_Name(go)));
  markers.insert(option.emit() == options::OMITZERO ? "json-emit=omitempty+omitzero"
                                                    : "json-emit=" + lower(options::Emit_Name(option.emit())));
  if (option.inline_()) markers.insert("inline");
  if (option.optional()) markers.insert("optional");
  if (option.required()) markers.insert("required");
  if (option.union_discriminator()) markers.insert("unionDiscriminator");
  if (option.has_list_type()) markers.insert("listType=" + lower(options::ListType_Name(option.list_type())).substr(5));
  for (const std::string& key : option.list_keys()) markers.insert("listMapKey=" + key);
  if (option.has_map_type()) markers.insert("mapType=" + lower(options::Granularity_Name(option.map_type())));
  if (option.has_struct_type()) markers.insert("structType=" + lower(options::Granularity_Name(option.struct_type())));
  if (option.has_patch_merge_key()) markers.insert("patchMergeKey=" + option.patch_merge_key());
  std::string strategies;
  for (const std::string& strategy : option.patch_strategy()) strategies += (strategies.empty() ? "" : ",") + strategy;
  if (!strategies.empty()) markers.insert("patchStrategy=" + strategies);
  if (option.has_default_json()) markers.insert("default=" + option.default_json());
  return markers;
}

// The table's markers in the same words: k8s:optional is optional said again, json= and custom-json are seen elsewhere.
Row row_of(const std::vector<std::string>& columns) {
  Row row{columns[2], columns[4], {}};
  std::set<std::string> presence;
  for (std::string marker : split(columns[5], ' ')) {
    if (marker.starts_with("k8s:")) marker.erase(0, 4);
    if (marker == "optional" || marker == "required") {
      presence.insert(marker);
    } else if (marker.starts_with("json=")) {
      row.name = marker.substr(5);
    } else if (marker.starts_with("default=")) {
      const auto constant = kConstants.find(marker.substr(8));
      row.markers.insert(constant == kConstants.end() ? marker : "default=" + constant->second);
    } else if (!marker.empty() && marker != "custom-json") {
      // A named map type is held by value, and is a map all the same.
      const bool named_map = marker == "go=value" && row.type.starts_with("map<");
      row.markers.insert(named_map ? "go=map" : marker);
    }
  }
  row.markers.insert(presence.begin(), presence.end());
  return row;
}

void compare(const std::vector<std::string>& columns, const pb::Descriptor& message) {
  const Row row = row_of(columns);
  const pb::FieldDescriptor* field = message.FindFieldByNumber(std::stoi(columns[3]));
  ASSERT_NE(field, nullptr) << columns[1] << "." << columns[2];
  EXPECT_EQ(field->json_name(), row.name);
  EXPECT_EQ(type_text(*field), row.type) << field->full_name();
  // Types with a JSON form of their own have no such markers in the table.
  const bool own_form = message.options().GetExtension(options::message).json_form() != options::STRUCT;
  if (!own_form) EXPECT_EQ(markers_of(*field), row.markers) << field->full_name();
}

TEST(KubernetesApi, IsTheTableRowByRow) {
  const auto compiled = messages();
  std::map<std::string, int> fields;
  std::map<std::string, std::string> structs;
  for (const std::string& line : read_lines(GANTRY_KUBERNETES_TABLE)) {
    const std::vector<std::string> columns = split(line, '\t');
    ASSERT_EQ(columns.size(), 6u) << line;
    const auto message = compiled.find(columns[1]);
    ASSERT_NE(message, compiled.end()) << line;
    if (columns[0] == "struct") structs[columns[1]] = columns[5];
    if (columns[0] != "field") continue;
    ++fields[columns[1]];
    compare(columns, *message->second);
  }
  ASSERT_GT(fields.size(), 450u) << "no table in " GANTRY_KUBERNETES_TABLE;
  for (const auto& [name, message] : compiled) {
    EXPECT_EQ(message->field_count(), fields[name]) << name << " has fields that are not in the table";
    const options::Message& option = message->options().GetExtension(options::message);
    const std::string marker =
        option.has_struct_type() ? "structType=" + lower(options::Granularity_Name(option.struct_type())) : "";
    EXPECT_EQ(marker, structs.contains(name) ? structs[name] : "") << name;
  }
}

}  // namespace
}  // namespace gantry
