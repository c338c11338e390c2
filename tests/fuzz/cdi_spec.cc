// SPDX-License-Identifier: Apache-2.0
// A specification of CDI devices in JSON or YAML, and the name of a device.
#include "cdi/spec.h"
#include "tests/fuzz/fuzz.h"

namespace cdi = gantry::cdi;
using gantry::cat;
using gantry::fuzz::expect;
using gantry::fuzz::expect_sentence;

namespace {

void check_edits(const std::string& text) {
  if (text.empty()) return;
  auto edits = cdi::parse_edits(cat("[", text, ",", text, "]"));
  expect(edits.has_value(), "what a specification gives is read again");
  for (const std::string& entry : edits->env) expect(entry.find('=') + 1 > 1, "a variable has a name");
  for (const cdi::DeviceNode& node : edits->nodes) {
    expect(node.path.starts_with('/') && node.host_path.starts_with('/'), "paths of a node are absolute");
  }
  for (const cdi::Mount& mount : edits->mounts) expect(mount.container_path.starts_with('/'), "a target is absolute");
  for (const auto& hook : edits->hooks) expect(hook.path.starts_with('/'), "a hook's path is absolute");
  for (std::uint32_t group : edits->groups)
    expect(group != 0 && group != 0xffffffff, "a group is an id, and not root's");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view text = gantry::fuzz::text_of(bytes, size);
  auto name = cdi::parse_device_name(text);
  if (!name) {
    expect_sentence(name.error());
  } else {
    expect(cat(name->kind, "=", name->name) == text && name->name.find('/') == text.npos, "a name is its two parts");
  }
  if (auto edits = cdi::parse_edits(text); !edits) expect_sentence(edits.error());
  auto spec = cdi::parse_spec(text);
  if (!spec) {
    expect_sentence(spec.error());
    return 0;
  }
  expect(!spec->devices.empty(), "a specification has a device");
  check_edits(spec->edits);
  for (const cdi::Device& device : spec->devices) {
    expect(cdi::parse_device_name(cat(spec->kind, "=", device.name)).has_value(), "its devices can be asked for");
    check_edits(device.edits);
  }
  return 0;
}
