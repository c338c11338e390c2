// SPDX-License-Identifier: Apache-2.0
#include "images/image_config.h"

#include <algorithm>
#include <optional>

#include "images/documents.h"
#include "images/json_reader.h"
#include "images/text.h"

namespace gantry::images {
namespace {

namespace json = boost::json;

constexpr std::string_view kImageWhat = "image configuration";
constexpr std::string_view kBuildWhat = "build configuration";
constexpr std::string_view kBuildKeys[] = {"Entrypoint", "Cmd",          "Env",     "User",      "WorkingDir",
                                           "Labels",     "ExposedPorts", "Volumes", "StopSignal"};

// "NAME=value"
bool is_assignment(const std::string& entry) {
  std::size_t equals = entry.find('=');
  return equals != std::string::npos && equals > 0;
}

void read_run_part(JsonReader& reader, const json::object& from, ImageConfig& out) {
  out.entrypoint = reader.texts(from, "Entrypoint");
  out.cmd = reader.texts(from, "Cmd");
  out.env = reader.texts(from, "Env");
  out.user = reader.text(from, "User");
  out.working_dir = reader.text(from, "WorkingDir");
  out.exposed_ports = reader.keys(from, "ExposedPorts");
  out.volumes = reader.keys(from, "Volumes");
  out.stop_signal = reader.text(from, "StopSignal");
  out.labels = reader.text_map(from, "Labels");
}

json::array to_array(const std::vector<std::string>& texts) { return json::array(texts.begin(), texts.end()); }

json::object to_keys(const std::vector<std::string>& keys) {
  json::object out;
  for (const std::string& key : keys) out[key] = json::object();
  return out;
}

}  // namespace

Result<ImageConfig> parse_image_config(std::string_view text) {
  auto document = parse_json_object(text, kImageWhat, kMaxConfigBytes);
  if (!document) return std::unexpected(std::move(document.error()));
  JsonReader reader{std::string(kImageWhat)};
  ImageConfig out;
  out.architecture = reader.text(*document, "architecture");
  out.os = reader.text(*document, "os");
  out.created = reader.text(*document, "created");
  if (const json::object* run = reader.object(*document, "config")) read_run_part(reader, *run, out);
  // An entry without a name can't be given to any program; images in the wild have them, and other runtimes pass over
  // them.
  std::erase_if(out.env, [](const std::string& entry) { return !is_assignment(entry); });

  const json::object* rootfs = reader.object(*document, "rootfs");
  if (rootfs == nullptr) {
    reader.complain("rootfs", "is missing");
  } else {
    if (reader.text(*rootfs, "type") != "layers") reader.complain("rootfs", "has a type other than \"layers\"");
    for (const std::string& entry : reader.texts(*rootfs, "diff_ids")) {
      auto digest = Digest::parse(entry);
      if (!digest) return fail_with(std::move(digest.error()), cat(kImageWhat, ": diff_ids"));
      out.diff_ids.push_back(std::move(*digest));
    }
  }
  if (out.diff_ids.size() > kMaxLayers) {
    reader.complain("diff_ids", cat("names ", out.diff_ids.size(), " layers, at most ", kMaxLayers, " are allowed"));
  }
  if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
  return out;
}

Result<ImageConfig> parse_build_config(std::string_view text) {
  auto document = parse_json_object(text, kBuildWhat, kMaxConfigBytes);
  if (!document) return std::unexpected(std::move(document.error()));
  JsonReader reader{std::string(kBuildWhat)};
  for (const auto& entry : *document) {
    if (std::find(std::begin(kBuildKeys), std::end(kBuildKeys), std::string_view(entry.key())) ==
        std::end(kBuildKeys)) {
      reader.complain(entry.key(), cat("is not known; the keys are ", kBuildKeys[0],
                                       ", Cmd, Env, User, WorkingDir, "
                                       "ExposedPorts, Volumes, StopSignal and Labels"));
    }
  }
  ImageConfig out;
  read_run_part(reader, *document, out);
  for (const std::string& entry : out.env) {
    if (!is_assignment(entry)) {
      reader.complain("Env", cat("has ", in_quotes(entry.substr(0, 100)), ", expected NAME=value"));
    }
  }
  if (!out.working_dir.empty() && out.working_dir.front() != '/')
    reader.complain("WorkingDir", "is not an absolute path");
  if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
  out.architecture = kHostArchitecture;
  out.os = "linux";
  return out;
}

std::string to_json(const ImageConfig& config) {
  json::object run;
  if (!config.user.empty()) run["User"] = config.user;
  if (!config.exposed_ports.empty()) run["ExposedPorts"] = to_keys(config.exposed_ports);
  if (!config.env.empty()) run["Env"] = to_array(config.env);
  if (!config.entrypoint.empty()) run["Entrypoint"] = to_array(config.entrypoint);
  if (!config.cmd.empty()) run["Cmd"] = to_array(config.cmd);
  if (!config.volumes.empty()) run["Volumes"] = to_keys(config.volumes);
  if (!config.working_dir.empty()) run["WorkingDir"] = config.working_dir;
  if (!config.labels.empty()) {
    json::object labels;
    for (const auto& [key, value] : config.labels) labels[key] = value;
    run["Labels"] = std::move(labels);
  }
  if (!config.stop_signal.empty()) run["StopSignal"] = config.stop_signal;
  json::array diff_ids;
  for (const Digest& digest : config.diff_ids) diff_ids.push_back(json::string(digest.to_string()));

  json::object document;
  if (!config.created.empty()) document["created"] = config.created;
  document["architecture"] = config.architecture;
  document["os"] = config.os;
  document["config"] = std::move(run);
  document["rootfs"] = json::object{{"type", "layers"}, {"diff_ids", std::move(diff_ids)}};
  return json::serialize(document);
}

Digest chain_of(const ImageConfig& config) {
  std::optional<Digest> chain;
  for (const Digest& diff : config.diff_ids) chain = chain_id(chain, diff);
  return *chain;
}

}  // namespace gantry::images
