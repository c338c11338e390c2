// SPDX-License-Identifier: Apache-2.0
#include "cdi/spec.h"

#include <algorithm>
#include <set>

#include "api/json.h"
#include "api/yaml.h"
#include "runtime/plan/fields.h"

namespace gantry::cdi {
namespace {

namespace json = boost::json;
using runtime::Fields;

// A file's nodes and list entries: a few times what a machine full of divided GPUs has.
constexpr api::ParseLimits kLimits{.bytes = kMaxSpecBytes, .depth = 16, .nodes = 200'000};
constexpr std::uint32_t kMaxId = 0xfffffffe;  // the one above means "no change" to the kernel

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_alphanumeric(char c) { return is_letter(c) || (c >= '0' && c <= '9'); }

bool is_word(std::string_view text, std::string_view between) {
  return !text.empty() && is_alphanumeric(text.front()) && is_alphanumeric(text.back()) &&
         std::ranges::all_of(text, [&](char c) { return is_alphanumeric(c) || between.find(c) != between.npos; });
}

bool is_vendor_or_class(std::string_view text) {
  return text.size() <= 253 && is_word(text, "-_.") && is_letter(text.front());
}

bool is_kind(std::string_view text) {
  auto slash = text.find('/');
  return slash != text.npos && is_vendor_or_class(text.substr(0, slash)) && is_vendor_or_class(text.substr(slash + 1));
}

bool is_device_name(std::string_view text) { return text.size() <= 253 && is_word(text, "-_.:"); }

bool is_absolute(std::string_view path) { return path.starts_with('/') && path.size() < 4096; }

void read_path(const Fields& fields, const char* name, bool required, std::string& out) {
  if (!fields.text(name, out) || out.empty()) {
    if (required) fields.missing(name, "an absolute path");
  } else if (!is_absolute(out)) {
    fields.refuse(name, cat(quoted(out), " is wrong: an absolute path was expected"));
  }
}

void read_env(const Fields& fields, std::vector<std::string>& out) {
  std::size_t before = out.size();
  fields.texts("env", out);
  for (std::size_t i = before; i < out.size(); ++i) {
    auto equals = out[i].find('=');
    if (equals == 0 || equals == std::string::npos) {
      fields.refuse(cat("env[", i - before, "]"), "is no variable: NAME=value was expected");
    }
  }
}

void read_node(const Fields& fields, Edits& out) {
  fields.only({"path", "hostPath", "type", "major", "minor", "fileMode", "permissions", "uid", "gid"});
  DeviceNode node;
  read_path(fields, "path", true, node.path);
  read_path(fields, "hostPath", false, node.host_path);
  if (node.host_path.empty()) node.host_path = node.path;
  std::string type;
  if (fields.text("type", type) && !type.empty()) {
    if (type != "c" && type != "b" && type != "u" && type != "p") {
      fields.refuse("type", cat(quoted(type), " is unknown: c, b, u or p was expected"));
    }
    node.type = type == "u" ? 'c' : type[0];
  }
  fields.number("major", node.major, 0U, 0xfffU);
  fields.number("minor", node.minor, 0U, 0xfffffU);
  // File::Mode of programs in Go may have bits of theirs above those of the file system.
  fields.number("fileMode", node.mode, 0U, 0xffffffffU);
  fields.number("uid", node.uid, 0U, kMaxId);
  fields.number("gid", node.gid, 0U, kMaxId);
  fields.text("permissions", node.permissions);
  bool known = node.permissions == "none" || node.permissions.find_first_not_of("rwm") == std::string::npos;
  if (!known) fields.refuse("permissions", cat(quoted(node.permissions), " is wrong: some of \"rwm\" was expected"));
  out.nodes.push_back(std::move(node));
}

void read_mount(const Fields& fields, Edits& out) {
  fields.only({"hostPath", "containerPath", "type", "options"});
  Mount mount;
  fields.text("type", mount.type);
  fields.texts("options", mount.options);
  if (!fields.text("hostPath", mount.host_path) || mount.host_path.empty()) fields.missing("hostPath", "a path");
  read_path(fields, "containerPath", true, mount.container_path);
  out.mounts.push_back(std::move(mount));
}

void read_hook(const Fields& fields, Edits& out) {
  static constexpr std::string_view kKinds[] = {"prestart",       "createRuntime", "createContainer",
                                                "startContainer", "poststart",     "poststop"};
  fields.only({"hookName", "path", "args", "env", "timeout"});
  runtime::Hook hook;
  std::string kind;
  if (!fields.text("hookName", kind)) return fields.missing("hookName", "a kind of hook");
  if (std::ranges::find(kKinds, kind) == std::end(kKinds)) {
    fields.refuse("hookName", cat(quoted(kind), " is unknown: createContainer, for one, was expected"));
  }
  read_path(fields, "path", true, hook.path);
  fields.texts("args", hook.args);
  read_env(fields, hook.env);
  fields.number("timeout", hook.timeout, 1, 86400);
  if (kind == "createContainer") {
    out.hooks.push_back(std::move(hook));
  } else {
    out.other_hooks[kind].push_back(std::move(hook));
  }
}

void read_edits(const Fields& fields, Edits& out) {
  fields.only({"env", "deviceNodes", "netDevices", "mounts", "hooks", "intelRdt", "additionalGids"});
  read_env(fields, out.env);
  fields.objects("deviceNodes", [&](const Fields& entry) { read_node(entry, out); });
  fields.objects("mounts", [&](const Fields& entry) { read_mount(entry, out); });
  fields.numbers("additionalGids", out.groups, 0U, kMaxId);
  std::erase(out.groups, 0U);  // as the interface has it
  fields.objects("hooks", [&](const Fields& entry) { read_hook(entry, out); });
  for (const char* name : {"netDevices", "intelRdt"}) {
    if (fields.says(name)) out.unsupported.emplace_back(name);
  }
}

void read_version(const Fields& fields) {
  std::string version;
  if (!fields.text("cdiVersion", version)) return fields.missing("cdiVersion", "a version such as 0.8.0");
  // What a version added is a field; one that is not known is refused by its name.
  bool known = version.starts_with("0.") || version.starts_with("1.");
  if (!known || version.find_first_not_of("0123456789.") != std::string::npos) {
    fields.refuse("cdiVersion", cat(quoted(version), " is not supported: 0.3.0 to 1.1.0 were expected"));
  }
}

void read_annotations(const Fields& fields) {
  fields.entries("annotations", [](const std::string&, const std::string&) {});
}

// Checked, and as its text.
std::string edits_text(const Fields& fields, Edits& edits) {
  auto object = fields.object("containerEdits");
  if (!object) return "";
  read_edits(*object, edits);
  return json::serialize(*fields.find("containerEdits"));
}

void read_device(const Fields& fields, Spec& spec, std::set<std::string>& names) {
  fields.only({"name", "annotations", "containerEdits"});
  Device device;
  Edits edits;
  if (!fields.text("name", device.name)) return fields.missing("name", "a device's name");
  if (!is_device_name(device.name)) {
    fields.refuse("name", cat(quoted(device.name),
                              " is wrong: letters and digits with '-', '_', '.' and ':' between them were expected"));
  }
  if (!names.insert(device.name).second) fields.refuse("name", cat(quoted(device.name), " is given twice"));
  read_annotations(fields);
  device.edits = edits_text(fields, edits);
  if (edits.is_empty()) fields.missing("containerEdits", "what a container gets");
  spec.devices.push_back(std::move(device));
}

void read_spec(const Fields& fields, Spec& spec) {
  fields.only({"cdiVersion", "kind", "annotations", "devices", "containerEdits"});
  read_version(fields);
  if (!fields.text("kind", spec.kind)) return fields.missing("kind", "a kind such as vendor.com/class");
  if (!is_kind(spec.kind)) {
    fields.refuse("kind", cat(quoted(spec.kind), " is wrong: a kind such as vendor.com/class was expected"));
  }
  read_annotations(fields);
  std::set<std::string> names;
  fields.objects("devices", [&](const Fields& entry) { read_device(entry, spec, names); });
  if (spec.devices.empty()) fields.missing("devices", "at least one device");
  Edits edits;
  spec.edits = edits_text(fields, edits);
}

Result<json::value> parse_json(std::string_view text) {
  json::parse_options options;
  options.max_depth = kLimits.depth + 1;  // a list of containerEdits around those of a file
  json::error_code error;
  json::value document = json::parse(json::string_view(text.data(), text.size()), error, {}, options);
  if (error) return invalid_argument(cat("is not JSON: ", error.message()));
  return document;
}

}  // namespace

Result<Spec> parse_spec(std::string_view text) {
  auto documents = api::parse_documents(text, kLimits);
  if (!documents) return std::unexpected(std::move(documents.error()));
  if (documents->size() != 1) return invalid_argument(cat("holds ", documents->size(), " documents: one was expected"));
  auto document = parse_json(api::write_json(documents->front()));
  if (!document) return std::unexpected(std::move(document.error()));
  if (!document->is_object()) return invalid_argument("an object with cdiVersion, kind and devices was expected");
  Spec spec;
  Status problem;
  read_spec(Fields(document->get_object(), "", problem), spec);
  if (!problem) return std::unexpected(std::move(problem.error()));
  return spec;
}

Result<Edits> parse_edits(std::string_view text) {
  auto document = parse_json(text);
  if (!document) return std::unexpected(std::move(document.error()));
  Status problem;
  Edits edits;
  json::object holder{{"containerEdits", std::move(*document)}};
  Fields(holder, "", problem).objects("containerEdits", [&](const Fields& entry) { read_edits(entry, edits); });
  if (!problem) return std::unexpected(std::move(problem.error()));
  return edits;
}

Result<DeviceName> parse_device_name(std::string_view text) {
  auto equals = text.find('=');
  if (text.size() <= kMaxNameBytes && equals != text.npos) {
    DeviceName name{text.substr(0, equals), text.substr(equals + 1)};
    if (is_kind(name.kind) && is_device_name(name.name)) return name;
  }
  return invalid_argument(cat("CDI device ", quoted(text), ": give a name such as vendor.com/class=name, of at most ",
                              kMaxNameBytes, " bytes"));
}

}  // namespace gantry::cdi
