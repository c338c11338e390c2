// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "cri/make_spec.h"
#include "cri/text.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace gantry::cri {
namespace {

constexpr const char* kRoot = "rootfs";
constexpr std::string_view kOciVersion = "1.2.0";

// The environment is left out: a hook that took it over would load what the image names.
std::string config_json(const std::string& root) {
  return boost::json::serialize(boost::json::object{{"ociVersion", kOciVersion}, {"root", {{"path", root}}}});
}

Status write_bundle(FdRef folder, const std::string& root) {
  if (auto made = sys::mkdirat(folder, kRoot, 0700); !made) return made;
  auto file = sys::openat(folder, "config.json", O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!file) return std::unexpected(std::move(file.error()));
  return sys::write_all(*file, config_json(root));
}

Result<OwnFd> host_tree() {
  auto host = sys::clone_mount(sys::kCwd, "/", sys::Recursive::kYes);
  if (!host) return std::unexpected(std::move(host.error()));
  auto s = sys::set_attributes(*host, "", sys::MountAttr::kNone, sys::MountAttr::kNone, sys::Propagation::kPrivate,
                               sys::Recursive::kYes);
  if (!s) return std::unexpected(std::move(s.error()));
  return OwnFd(std::move(*host));
}

}  // namespace

Result<Bundle> Bundle::make(const LaunchRequest& request) {
  Bundle bundle;
  bundle.name_ = request.bundle_path.substr(request.bundle_path.rfind('/') + 1);
  auto parent = duplicate(request.bundle_parent);
  if (!parent) return std::unexpected(std::move(parent.error()));
  bundle.parent_ = std::move(*parent);
  // Of a start that a gantryd did not live to see the end of.
  if (auto gone = sys::remove_tree(bundle.parent_, bundle.name_.c_str()); !gone) return std::unexpected(gone.error());
  if (auto made = sys::mkdirat(bundle.parent_, bundle.name_.c_str(), 0700); !made) return std::unexpected(made.error());
  auto folder = sys::open_dir(bundle.parent_, bundle.name_.c_str());
  if (!folder) return std::unexpected(std::move(folder.error()));
  bundle.hooks.root = cat(request.bundle_path, "/", kRoot);
  if (auto written = write_bundle(*folder, bundle.hooks.root); !written) return std::unexpected(written.error());
  // After its folder is there.
  auto host = host_tree();
  if (!host) return std::unexpected(std::move(host.error()));
  bundle.host = std::move(*host);
  std::string path = boost::json::serialize(boost::json::string(request.bundle_path));
  bundle.hooks.state_before = cat("{\"ociVersion\":\"", kOciVersion, "\",\"id\":\"", request.id, "\",\"pid\":");
  bundle.hooks.state_behind = cat(",\"status\":\"created\",\"bundle\":", path, "}");
  bundle.hooks.create_container = request.edits.hooks;
  return bundle;
}

Bundle::~Bundle() {
  if (parent_.is_open()) (void)sys::remove_tree(parent_, name_.c_str());
}

}  // namespace gantry::cri
