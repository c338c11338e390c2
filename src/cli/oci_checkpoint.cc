// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_checkpoint.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include <boost/json.hpp>

#include "base/text.h"
#include "cgroups/hierarchy.h"
#include "cli/oci_notify.h"
#include "cli/oci_rootless.h"
#include "runtime/criu/criu.h"
#include "runtime/criu/externals.h"
#include "runtime/plan/host_facts.h"
#include "sys/file.h"
#include "sys/folders.h"

namespace gantry::cli {

namespace oci = runtime::oci;

namespace {

constexpr const char* kLog = "dump.log";

Result<OwnFd> open_folder(const std::string& path, const char* flag, bool makes) {
  if (makes) {
    if (auto s = sys::make_folders(absolute(path), 0700); !s) return fail_with(std::move(s.error()), flag);
  }
  auto folder = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_DIRECTORY);
  return folder ? std::move(folder) : fail_with(std::move(folder.error()), cat(flag, " ", path));
}

Status refuse_unsupported(const CriuOptions& options) {
  const char* flag = options.lazy_pages                   ? "--lazy-pages"
                     : !options.page_server.empty()       ? "--page-server"
                     : options.status_fd != -1            ? "--status-fd"
                     : !options.lsm_profile.empty()       ? "--lsm-profile"
                     : !options.lsm_mount_context.empty() ? "--lsm-mount-context"
                                                          : nullptr;
  return flag == nullptr ? Status() : fail(Code::kUnimplemented, cat(flag, " is not supported"));
}

Result<runtime::CriuCgroups> cgroups_of(const std::string& mode) {
  if (mode.empty() || mode == "soft") return runtime::CriuCgroups::kSoft;
  if (mode == "full") return runtime::CriuCgroups::kFull;
  if (mode == "strict") return runtime::CriuCgroups::kStrict;
  if (mode == "ignore") return runtime::CriuCgroups::kIgnore;
  return invalid_argument(cat("--manage-cgroups-mode: soft, full, strict or ignore was expected, not ", quoted(mode)));
}

// Mounts of the host's, as the container has them now.
Result<runtime::Pairs> mounts_of(pid_t pid, const oci::PlannedContainer& planned) {
  auto root = sys::openat(sys::kCwd, cat("/proc/", pid, "/root").c_str(), O_PATH | O_DIRECTORY);
  if (!root) return std::unexpected(std::move(root.error()));
  runtime::Pairs mounts;
  struct stat info{};
  for (const HostMount& mount : host_mounts(planned)) {
    auto place = runtime::real_place(*root, mount.target, info);
    if (!place) return fail_with(std::move(place.error()), mount.target);
    if (!place->empty()) mounts.emplace_back(std::move(*place), mount.target);
  }
  for (const std::string& path : planned.plan.masked_paths) {
    auto place = runtime::real_place(*root, path, info);
    if (!place) return fail_with(std::move(place.error()), path);
    if (!place->empty())
      mounts.emplace_back(std::move(*place), S_ISDIR(info.st_mode) ? runtime::kMaskedFolder : runtime::kMaskedFile);
  }
  return mounts;
}

Result<std::vector<std::string>> externals_of(const oci::Linux& config) {
  std::vector<std::string> externals;
  for (auto kind : {oci::NamespaceKind::kNetwork, oci::NamespaceKind::kPid}) {
    const std::string& path = config.of(kind).path;
    if (path.empty()) continue;
    auto info = sys::fstatat(sys::kCwd, path.c_str(), 0);
    if (!info) return fail_with(std::move(info.error()), cat("linux.namespaces, the ", to_string(kind), " namespace"));
    externals.push_back(
        cat(kind == oci::NamespaceKind::kPid ? "pid" : "net", "[", info->st_ino, "]:", external_name(kind)));
  }
  return externals;
}

// The configuration as the container was made from it.
Result<oci::Config> config_of(const ContainerFolder& folder, const std::string& root) {
  auto config = folder.read_config();
  if (!config) return config;
  if (sys::fstatat(folder.dir(), kNotifyFolder, AT_SYMLINK_NOFOLLOW))
    add_notify_socket(absolute(cat(root, "/", folder.id())), *config);
  return config;
}

Status write_descriptors(FdRef images, const ContainerRecord& record) {
  boost::json::array names;
  for (const std::string& stream : record.streams) names.emplace_back(stream);
  return replace_file(images, runtime::kDescriptors, boost::json::serialize(names), 0600);
}

Status add_container(const std::string& root, const FoundContainer& found, runtime::CriuRequest& request) {
  auto config = config_of(found.folder, root);
  if (!config) return std::unexpected(std::move(config.error()));
  auto host = runtime::read_host_facts();
  if (!host) return std::unexpected(std::move(host.error()));
  runtime::SeccompCache seccomp(1);
  auto planned = oci::plan_config(*config, *host, seccomp);
  if (!planned) return std::unexpected(std::move(planned.error()));
  const ContainerRecord& record = found.live.record;
  auto externals = externals_of(config->linux_);
  if (!externals) return std::unexpected(std::move(externals.error()));
  request.externals = std::move(*externals);
  for (const std::string& stream : record.streams) {
    if (stream.starts_with("file[")) request.externals.push_back(stream);
  }
  auto hierarchy = cgroups::Hierarchy::find();
  if (!hierarchy) return std::unexpected(std::move(hierarchy.error()));
  request.freeze_cgroup = cat(hierarchy->mount_point(), record.cgroup);
  request.pid = record.pid;
  request.root = record.rootfs;
  if (request.call == runtime::CriuCall::kPreDump) return {};
  auto mounts = mounts_of(record.pid, *planned);
  if (!mounts) return std::unexpected(std::move(mounts.error()));
  request.mounts = std::move(*mounts);
  return {};
}

}  // namespace

Result<ImageFolders> open_image_folders(const CriuOptions& options, const char* log, bool makes) {
  ImageFolders folders;
  auto images = open_folder(options.image_path, "--image-path", makes);
  if (!images) return std::unexpected(std::move(images.error()));
  folders.images = std::move(*images);
  folders.log = cat(options.work_path.empty() ? options.image_path : options.work_path, "/", log);
  if (options.work_path.empty()) return folders;
  auto work = open_folder(options.work_path, "--work-path", true);
  if (!work) return std::unexpected(std::move(work.error()));
  folders.work = std::move(*work);
  return folders;
}

Result<runtime::CriuRequest> common_request(const CriuOptions& options, const ImageFolders& folders, const char* log) {
  if (auto s = refuse_unsupported(options); !s) return std::unexpected(std::move(s.error()));
  auto cgroups = cgroups_of(options.cgroups_mode);
  if (!cgroups) return std::unexpected(std::move(cgroups.error()));
  for (const std::string& kind : options.empty_namespaces) {
    if (kind != "network") return invalid_argument(cat("--empty-ns: network was expected, not ", quoted(kind)));
  }
  runtime::CriuRequest request;
  request.images_fd = folders.images.get();
  if (folders.work.is_open()) request.work_fd = folders.work.get();
  request.log_file = log;
  request.cgroups = *cgroups;
  // Devices, addresses and routes are not ours: who made them makes them again.
  request.empty_namespaces = CLONE_NEWNET;
  request.tcp_established = options.tcp_established;
  request.external_sockets = options.external_sockets;
  request.shell_job = options.shell_job;
  request.file_locks = options.file_locks;
  request.auto_dedup = options.auto_dedup;
  return request;
}

std::string external_name(oci::NamespaceKind kind) {
  if (kind == oci::NamespaceKind::kNetwork) return runtime::kJoinedNetwork;
  return kind == oci::NamespaceKind::kPid ? runtime::kJoinedPids : "";
}

std::vector<HostMount> host_mounts(const oci::PlannedContainer& container) {
  std::vector<HostMount> mounts;
  for (std::size_t i = 0; i < container.sources.size(); ++i) {
    const oci::Source& source = container.sources[i];
    if (source.kind == oci::Source::Kind::kBind) mounts.push_back({container.plan.mounts[source.mount].target, i});
    if (source.kind == oci::Source::Kind::kDevice) mounts.push_back({container.plan.devices[source.mount].path, i});
  }
  return mounts;
}

Status checkpoint_container(const std::string& root, const CheckpointOptions& options, Log& log) {
  const CriuOptions& criu_options = options.criu;
  auto program = runtime::find_criu();
  if (!program) return fail_with(std::move(program.error()), "checkpoint");
  if (is_rootless()) return fail(Code::kUnimplemented, "checkpoint: criu needs root");
  if (criu_options.parent_path.starts_with('/'))
    return invalid_argument("--parent-path: a path from --image-path was expected, not an absolute one");
  auto found = find_container(root, options.id, true);
  if (!found) return std::unexpected(std::move(found.error()));
  ContainerState state = found->live.state;
  if (state != ContainerState::kRunning && state != ContainerState::kPaused) {
    return fail(Code::kFailedPrecondition,
                cat("container ", options.id, " can't be checkpointed: it is ", to_string(state)));
  }
  if (auto checked = common_request(criu_options, {}, kLog); !checked)
    return std::unexpected(std::move(checked.error()));
  auto folders = open_image_folders(criu_options, kLog, true);
  if (!folders) return std::unexpected(std::move(folders.error()));
  auto request = common_request(criu_options, *folders, kLog);
  if (!request) return std::unexpected(std::move(request.error()));
  request->call = options.pre_dump ? runtime::CriuCall::kPreDump : runtime::CriuCall::kDump;
  request->leave_running = options.leaves_running;
  request->tracks_memory = options.pre_dump || !criu_options.parent_path.empty();
  if (!criu_options.parent_path.empty()) {
    auto parent = sys::openat(folders->images, criu_options.parent_path.c_str(), O_PATH | O_DIRECTORY);
    if (!parent) return fail_with(std::move(parent.error()), "--parent-path");
    request->parent_images = criu_options.parent_path;
  }
  if (auto s = add_container(root, *found, *request); !s) return s;
  if (!options.pre_dump) {
    if (auto s = write_descriptors(folders->images, found->live.record); !s) return s;
  }
  auto criu = runtime::Criu::start(*program, runtime::CriuBirth());
  if (!criu) return std::unexpected(std::move(criu.error()));
  auto reply = criu->ask(*request, {folders->log});
  if (!reply) return fail_with(std::move(reply.error()), "checkpoint");
  if (options.leaves_running || options.pre_dump) return {};
  // CRIU has ended its processes.
  return forget_container(found->folder, found->live, log);
}

}  // namespace gantry::cli
